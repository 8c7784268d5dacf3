/**
 * Makes dist the image of the sources before tsc runs: removes what was compiled from files that are
 * gone (ava would still run those tests), and forgets tsc's memory where its output was deleted (an
 * incremental tsc would not write it again).
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';

const FOLDERS = ['src', 'test', 'bench', 'qemu', 'tools', 'examples'];

function filesBelow(folder, pattern) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

for (const folder of FOLDERS) {
  for (const file of filesBelow(join('dist', folder), /\.(js(\.map)?|d\.ts)$/)) {
    const source = relative('dist', file).replace(/\.(js(\.map)?|d\.ts)$/, '.ts');
    if (!existsSync(source)) rmSync(file, { force: true });
  }
  for (const file of filesBelow(folder, /(?<!\.d)\.ts$/)) {
    if (!existsSync(join('dist', file.replace(/\.ts$/, '.js')))) {
      rmSync('dist/tsconfig.tsbuildinfo', { force: true });
    }
  }
}
