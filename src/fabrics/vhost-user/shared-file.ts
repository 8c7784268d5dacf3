/**
 * Which files a front-end may share as memory. What lies on FUSE or NFS is somebody's to answer, or not: looking at such
 * a file, or touching memory mapped from it, would keep the event loop waiting, and every other guest with it. So nothing
 * is asked of the file here, only of the kernel.
 */
import { readFileSync } from 'node:fs';
import { addon } from '../../native/addon.ts';
import { ProtocolError } from './protocol-error.ts';

/** Those whose pages come from a disk of this machine, or from memory. */
const PROMPT_FILE_SYSTEMS: ReadonlySet<string> = new Set([
  ...['tmpfs', 'hugetlbfs', 'ramfs', 'devtmpfs', 'overlay'],
  ...['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs', 'bcachefs', 'zfs'],
]);
/** proc(5), /proc/PID/mountinfo: the mount's number comes first, its file system behind " - ". */
const MOUNT = /^(\d+) .* - (\S+) /;

/** Throws ProtocolError. `what` names the memory. */
export function checkSharedFile(fd: number, what: string): void {
  if (addon.isSharedMemory(fd)) return;
  const type = fileSystemOf(fd);
  if (type !== undefined && PROMPT_FILE_SYSTEMS.has(type)) return;
  const where = type === undefined ? 'a file system unknown here' : type;
  throw new ProtocolError(
    `${what} lies on ${where}, which might never answer; use a memfd, hugetlbfs, tmpfs or a local file`,
  );
}

/** Undefined for files of other mount namespaces, and for what is no file. */
function fileSystemOf(fd: number): string | undefined {
  const mount = /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
  for (const line of readFileSync('/proc/self/mountinfo', 'latin1').split('\n')) {
    const [, id, type] = MOUNT.exec(line) ?? [];
    if (id !== undefined && id === mount) return type;
  }
  return undefined;
}
