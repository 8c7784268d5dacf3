/** Newer kernels for the initrd vehicle: those of Debian's backports, unpacked into the cache. */
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BACKPORTS, NEWEST_BACKPORTS, unpackBackports } from './backports.ts';
import { cached, recipeKey } from './cache.ts';
import type { Kernel, Progress } from './debian-tree.ts';
import { runProgram } from './run-program.ts';

/** To be changed with anything below that changes the folder. */
const LAYOUT = '1';
const META = 'linux-image-cloud-amd64';
/** One package until 7.0, since then in parts. */
const MEMBERS = /^linux-(base|binary|image|modules)-\d/;
const LIBRARIES = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'];

const SUITES = { backported: BACKPORTS, newest: NEWEST_BACKPORTS } as const;
export type BackportedKernel = keyof typeof SUITES;

async function build(folder: string, suite: string, tree: string, progress: Progress): Promise<void> {
  progress(`fetching a kernel from Debian's ${suite}`);
  await mkdir(folder, { recursive: true });
  await unpackBackports(folder, { suite, meta: { name: META, members: MEMBERS } });
  // Where depmod looks; packages of newer releases have no such folder.
  if (!existsSync(join(folder, 'lib'))) await symlink('usr/lib', join(folder, 'lib'));
  const { modules } = kernelIn(folder);
  // Its package would run depmod when it is installed. The guest's tree has one; this machine need not.
  await runProgram(join(tree, 'lib64/ld-linux-x86-64.so.2'), [
    ...['--library-path', LIBRARIES.map((path) => join(tree, path)).join(':'), '--argv0', 'depmod'],
    ...[join(tree, 'usr/bin/kmod'), '-b', folder, basename(modules)],
  ]);
}

function kernelIn(folder: string): Kernel {
  const [release] = readdirSync(join(folder, 'lib/modules'));
  const modules = join(folder, 'lib/modules', release);
  // Beside its modules, or by the older custom in /boot.
  const beside = join(modules, 'vmlinuz');
  const image = existsSync(beside) ? beside : join(folder, 'boot', `vmlinuz-${release}`);
  return { image, modules };
}

/** `debian` is the folder of `ensureDebianTree`. The first use fetches 35 MB. */
export async function backportedKernel(
  which: BackportedKernel,
  debian: string,
  progress: Progress,
): Promise<Kernel> {
  const suite = SUITES[which];
  const name = `debian-kernel-${recipeKey(LAYOUT, suite, META)}`;
  const folder = await cached(
    name,
    (unfinished) => build(unfinished, suite, join(debian, 'tree'), progress),
    progress,
  );
  return kernelIn(folder);
}
