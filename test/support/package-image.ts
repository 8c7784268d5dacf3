/** A disk image with Node.js, lunport and what they need: for running lunport itself inside a guest. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import type { Guest } from '../../qemu/guest.ts';
import { packageRoot } from '../../qemu/package-root.ts';

const IMAGE_BYTES = 400 << 20;

/** Shell lines for a guest with the image mounted on /opt: `lunport` becomes a command, `until_` waits for a condition. */
export const LUNPORT_COMMAND = [
  'export LD_LIBRARY_PATH=/opt/lib XDG_RUNTIME_DIR=/run XDG_STATE_HOME=/tmp/state',
  'lunport() { /opt/node /opt/lunport/dist/src/cli/main.js "$@"; }',
  'until_() { tries=0; until eval "$1"; do tries=$((tries + 1)); [ $tries -lt 900 ] || { echo "never: $1"; return 1; }; sleep 0.1; done; }',
].join('\n');

/** Runs a script that must succeed in a guest that has `lunport`, and resolves with what it printed. */
export async function runLunport(t: ExecutionContext, guest: Guest, script: string): Promise<string> {
  const { status, output } = await guest.exec(`${LUNPORT_COMMAND}\n${script}`, { timeoutMs: 400_000 });
  if (status !== 0) t.fail(output);
  return output;
}

/** Makes an ext4 image in `folder`; the guest has glibc's dynamic linker from a tool that needs it. */
export async function makePackageImage(folder: string): Promise<string> {
  const tree = join(folder, 'package');
  const root = packageRoot();
  mkdirSync(join(tree, 'lib'), { recursive: true });
  cpSync(process.execPath, join(tree, 'node'), { dereference: true });
  for (const library of await librariesOf(process.execPath)) {
    cpSync(library, join(tree, 'lib', library.replace(/^.*\//, '')), { dereference: true });
  }
  for (const path of [
    'package.json',
    'dist/src',
    'native/binding.gyp',
    'native/build/Release/lunport.node',
  ]) {
    cpSync(join(root, path), join(tree, 'lunport', path), { recursive: true });
  }
  for (const name of dependenciesOf(root)) {
    cpSync(join(root, 'node_modules', name), join(tree, 'lunport/node_modules', name), { recursive: true });
  }
  const image = join(folder, 'package.img');
  writeFileSync(image, '');
  truncateSync(image, IMAGE_BYTES);
  await promisify(execFile)('mkfs.ext4', ['-q', '-d', tree, image]);
  return image;
}

async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)('ldd', [program]);
  return [...stdout.matchAll(/=> (\/\S+)/g)].map(([, path]) => path);
}

/** Names of all packages that lunport needs at run time, their own needs included. */
function dependenciesOf(root: string): Set<string> {
  const found = new Set<string>();
  const add = (manifest: string) => {
    const { dependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8')) as Manifest;
    for (const name of Object.keys(dependencies)) {
      const path = join(root, 'node_modules', name, 'package.json');
      if (found.has(name) || !existsSync(path)) continue;
      found.add(name);
      add(path);
    }
  };
  add(join(root, 'package.json'));
  return found;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
}
