/** A newer kernel for the initrd vehicle: that of Debian's backports, unpacked into the cache. */
import { readdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BACKPORTS, unpackBackports } from './backports.ts';
import { cached, recipeKey } from './cache.ts';
import type { Kernel, Progress } from './debian-tree.ts';
import { runProgram } from './run-program.ts';

/** To be changed with anything below that changes the folder. */
const LAYOUT = '1';
const META = 'linux-image-cloud-amd64';
const LIBRARIES = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'];

async function build(folder: string, tree: string, progress: Progress): Promise<void> {
  progress(`fetching a kernel from Debian's ${BACKPORTS}`);
  await mkdir(folder, { recursive: true });
  await unpackBackports(folder, { meta: META });
  const { modules } = kernelIn(folder);
  // Its package would run depmod when it is installed. The guest's tree has one; this machine need not.
  await runProgram(join(tree, 'lib64/ld-linux-x86-64.so.2'), [
    ...['--library-path', LIBRARIES.map((path) => join(tree, path)).join(':'), '--argv0', 'depmod'],
    ...[join(tree, 'usr/bin/kmod'), '-b', folder, modules.slice(modules.lastIndexOf('/') + 1)],
  ]);
}

function kernelIn(folder: string): Kernel {
  const image = readdirSync(join(folder, 'boot')).find((name) => name.startsWith('vmlinuz-'))!;
  return {
    image: join(folder, 'boot', image),
    modules: join(folder, 'lib/modules', image.replace(/^vmlinuz-/, '')),
  };
}

/** `debian` is the folder of `ensureDebianTree`. The first use fetches 35 MB. */
export async function backportedKernel(debian: string, progress: Progress): Promise<Kernel> {
  const name = `debian-kernel-${recipeKey(LAYOUT, BACKPORTS, META)}`;
  const folder = await cached(
    name,
    (unfinished) => build(unfinished, join(debian, 'tree'), progress),
    progress,
  );
  return kernelIn(folder);
}
