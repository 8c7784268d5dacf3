import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { checkImports } from '../../tools/check-imports.ts';

function check(files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'lunport-imports-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return checkImports(root).map(({ file, line, message }) => `${file}:${line}: ${message}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

const allowed: [string, string][] = [
  ['src/scsi/a.ts', "import './b.ts';"],
  ['src/scsi/commands/a.ts', "import { b } from '../b.ts';"],
  ['src/native/a.ts', "import load from 'node-gyp-build';"],
  ['src/backstores/file.ts', "import '../scsi/a.ts'; import '../native/a.ts'; import 'node:fs';"],
  ['src/backstores/plug-in.ts', 'export const load = (url: string) => import(url);'],
  ['src/fabrics/vhost-user/a.ts', "import '../../scsi/a.ts'; import '../../native/a.ts'; import '../b.ts';"],
  ['src/target/a.ts', "import '../fabrics/a.ts'; import '../backstores/a.ts'; import '../native/a.ts';"],
  ['src/target/a.ts', "new URL('../../native', import.meta.url);"],
  ['src/cli/main.ts', "import '../target/a.ts'; import '../scsi/a.ts'; import 'commander';"],
  ['src/index.ts', "export * from './backstores/a.ts';"],
];
for (const [file, text] of allowed) {
  test(`${file} may contain ${text}`, (t) => {
    t.deepEqual(check({ [file]: text }), []);
  });
}

const refused: [string, string][] = [
  ['src/scsi/a.ts', "import '../native/a.ts';"],
  ['src/scsi/commands/a.ts', "import '../../backstores/a.ts';"],
  ['src/scsi/a.ts', "import 'node:fs';"],
  ['src/scsi/a.ts', "import { readFileSync } from 'fs';"],
  ['src/scsi/a.ts', "import { z } from 'zod';"],
  ['src/scsi/a.ts', "import type { A } from '../target/a.ts';"],
  ['src/scsi/a.ts', "export type A = import('../target/a.ts').A;"],
  ['src/scsi/a.ts', "export { a } from '../target/a.ts';"],
  ['src/scsi/a.ts', "export * from '../target/a.ts';"],
  ['src/scsi/a.ts', "export const a = () => import('../target/a.ts');"],
  ['src/scsi/a.ts', 'export const a = (name: string) => import(name);'],
  ['src/scsi/a.ts', "import '../index.ts';"],
  ['src/backstores/a.ts', "import '../fabrics/a.ts';"],
  ['src/fabrics/a.ts', "import '../backstores/a.ts';"],
  ['src/fabrics/a.ts', "import '../target/a.ts';"],
  ['src/fabrics/a.ts', "new URL('../target/worker.js', import.meta.url);"],
  ['src/native/a.ts', "import '../scsi/a.ts';"],
  ['src/target/a.ts', "import '../cli/a.ts';"],
  ['src/target/a.ts', "import 'node-gyp-build';"],
  ['src/cli/a.ts', "import '../native/a.ts';"],
  ['src/index.ts', "import './native/a.ts';"],
  ['src/cli/a.ts', "import '../../test/support/a.ts';"],
  ['src/target/a.ts', "import '../../bench/a.ts';"],
  ['src/target/a.ts', "import '../../qemu/a.ts';"],
  ['src/target/a.ts', "import '../../tools/a.ts';"],
  ['src/target/a.ts', "import '/etc/a.ts';"],
  ['src/elsewhere/a.ts', 'export {};'],
  ['src/target/a.ts', 'export const = 1;'],
];
for (const [file, text] of refused) {
  test(`${file} may not contain ${text}`, (t) => {
    const found = check({ [file]: text });
    t.is(found.length, 1);
    t.true(found[0].startsWith(`${file}:1: `));
  });
}

test('a violation names its line, what is allowed, and what was found', (t) => {
  t.deepEqual(check({ 'src/fabrics/a.ts': "// é\n\nimport '../scsi/a.ts';\nimport '../cli/a.ts';\n" }), [
    'src/fabrics/a.ts:4: src/fabrics may import src/scsi, src/native; here src/cli/a.ts',
  ]);
});
