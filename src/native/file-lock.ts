/**
 * Image locks as QEMU takes them (its block/file-posix.c), so that neither opens what the other holds.
 *
 * They are open file description locks on bytes far into the file, always shared ones: for each permission held
 * byte 100 + bit, for each permission that others may *not* hold byte 200 + bit. A conflict shows when an
 * exclusive lock on the opposite byte could not be had. Both sides lock first and look then, so that two who
 * open at the same time cannot both succeed.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { addon } from './addon.ts';
import { checked, Errno, LunportError } from './errno.ts';
import { lockHolder } from './lock-holder.ts';

const HELD_BASE = 100;
const UNSHARED_BASE = 200;

/** Bits of QEMU's BLK_PERM_… that matter here; the others are 2 write unchanged and 3 resize. */
const Permission = { CONSISTENT_READ: 0, WRITE: 1 } as const;
const PERMISSION_BITS = 4;

/** F_OFD_SETLK on file systems and kernels without such locks. */
const LOCKS_UNSUPPORTED: ReadonlySet<number> = new Set([
  Errno.EINVAL,
  Errno.ENOLCK,
  Errno.ENOSYS,
  Errno.EOPNOTSUPP,
]);

/** Types of open file description locks. */
export const LockType = { READ: 0, WRITE: 1, UNLOCK: 2 } as const;

export interface LockOptions {
  /** We write; else we only read. */
  readonly write: boolean;
  /** Others may write too. */
  readonly share: boolean;
}

/**
 * Locks the image open at `fd` until `fd` is closed. Throws a LunportError with code 'image-in-use'. Where the
 * file system has no such locks, QEMU goes on without; so do we.
 */
export function lockImage(fd: number, path: string, options: LockOptions): void {
  const { held, unshared } = permissions(options);
  const bytes = [...held.map((bit) => HELD_BASE + bit), ...unshared.map((bit) => UNSHARED_BASE + bit)];
  for (const byte of bytes) {
    const result = addon.lockRange(fd, LockType.READ, byte, 1);
    if (result === 0) continue;
    unlockImage(fd);
    if (LOCKS_UNSUPPORTED.has(result)) return;
    checked(result, 'lock', path);
  }
  if (!hasRival(fd, path, options)) return;
  unlockImage(fd);
  throw inUse(fd, path, options.write);
}

/** Whether somebody has locked the image so that `lockImage` would fail. Nothing is locked, nor said about who it is. */
export function isImageInUse(path: string, options: LockOptions): boolean {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    return hasRival(fd, path, options);
  } finally {
    closeSync(fd);
  }
}

function permissions({ write, share }: LockOptions): { held: number[]; unshared: number[] } {
  return {
    held: [Permission.CONSISTENT_READ, ...(write ? [Permission.WRITE] : [])],
    // As QEMU's own disks, which leave resizing to others: nobody can resize without the right to write.
    unshared: share ? [] : [Permission.WRITE],
  };
}

function hasRival(fd: number, path: string, options: LockOptions): boolean {
  const { held, unshared } = permissions(options);
  const rivals = [...held.map((bit) => UNSHARED_BASE + bit), ...unshared.map((bit) => HELD_BASE + bit)];
  return rivals.some(
    (byte) => checked(addon.testLock(fd, LockType.WRITE, byte, 1), 'look at the locks of', path) !== 0,
  );
}

/** Gives up all image locks of this open file. */
export function unlockImage(fd: number): void {
  addon.lockRange(fd, LockType.UNLOCK, HELD_BASE, PERMISSION_BITS);
  addon.lockRange(fd, LockType.UNLOCK, UNSHARED_BASE, PERMISSION_BITS);
}

function inUse(fd: number, path: string, write: boolean): LunportError {
  const holder = lockHolder(fd) ?? 'another process';
  return new LunportError({
    code: 'image-in-use',
    object: path,
    message: `Cannot ${write ? 'write to' : 'read'} ${path}: ${holder} uses it`,
    hint:
      'Stop the other user of the image. To use it twice, both must agree: `,share` for lunport, share-rw=on for ' +
      "QEMU's device. Only guests that coordinate their writes, as clusters do, survive that.",
  });
}
