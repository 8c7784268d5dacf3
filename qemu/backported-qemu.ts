/**
 * A newer QEMU beside the installed one: Debian's backport, unpacked into the cache and run from there, so that
 * nothing is installed. It reconnects to a back-end that died (8.2 and newer do).
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BACKPORTS, unpackBackports } from './backports.ts';
import { cached, recipeKey } from './cache.ts';
import { type Progress, showProgress } from './debian-tree.ts';

const PACKAGES = ['qemu-system-x86', 'qemu-system-common', 'qemu-system-data'];
/** SeaBIOS and network ROMs are packages of their own, and the installed ones fit. */
const SHARED_FOLDERS = ['/usr/share/seabios', '/usr/lib/ipxe/qemu'];

async function build(folder: string, progress: Progress): Promise<void> {
  progress(`fetching QEMU from Debian's ${BACKPORTS}`);
  await mkdir(folder, { recursive: true });
  await unpackBackports(folder, { suite: BACKPORTS, packages: PACKAGES });
}

/**
 * The command for `MachineOptions.qemu`. The first use fetches 13 MB.
 *
 * @throws GuestError when it cannot be fetched
 */
export async function backportedQemu(progress: Progress = showProgress): Promise<readonly string[]> {
  const name = `debian-qemu-${recipeKey(BACKPORTS, PACKAGES.join())}`;
  const folder = await cached(name, (unfinished) => build(unfinished, progress), progress);
  const folders = [join(folder, 'usr/share/qemu'), ...SHARED_FOLDERS];
  return [join(folder, 'usr/bin/qemu-system-x86_64'), ...folders.flatMap((path) => ['-L', path])];
}
