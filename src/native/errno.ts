/**
 * The one place that turns an errno into words: what failed, on which object, why, and what to do about it.
 */
import { getSystemErrorMap } from 'node:util';

export interface LunportErrorFields {
  /** Stable, for programs: an errno's name such as 'ENOENT', or a word of lunport's own such as 'image-in-use'. */
  readonly code: string;
  /** What it happened to, as the user named it: a path, a socket, a device. */
  readonly object: string;
  /** One sentence, no full stop. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** A failure of our own: not a SCSI outcome, not a peer's fault. */
export class LunportError extends Error {
  readonly code: string;
  readonly object: string;
  readonly hint: string | undefined;

  constructor(fields: LunportErrorFields) {
    super(fields.message, { cause: fields.cause });
    this.name = 'LunportError';
    this.code = fields.code;
    this.object = fields.object;
    this.hint = fields.hint;
  }
}

/** The errno values that code compares with, as the addon returns them. */
export const Errno = {
  EPERM: -1,
  ENOENT: -2,
  EINTR: -4,
  EIO: -5,
  ENXIO: -6,
  EBADF: -9,
  EAGAIN: -11,
  ENOMEM: -12,
  EACCES: -13,
  EFAULT: -14,
  EBUSY: -16,
  EEXIST: -17,
  ENODEV: -19,
  EISDIR: -21,
  EINVAL: -22,
  ENFILE: -23,
  EMFILE: -24,
  ENOTTY: -25,
  EFBIG: -27,
  ENOSPC: -28,
  EROFS: -30,
  EPIPE: -32,
  ENAMETOOLONG: -36,
  ENOLCK: -37,
  ENOSYS: -38,
  ENOTSOCK: -88,
  EMSGSIZE: -90,
  EOPNOTSUPP: -95,
  EADDRINUSE: -98,
  ECONNABORTED: -103,
  ECONNRESET: -104,
  ECONNREFUSED: -111,
  ECANCELED: -125,
} as const;

const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'Check the permissions of the file and of each folder above it, and as which user lunport runs.',
  EADDRINUSE: 'Another process listens there. Stop it, or choose another path or port.',
  EADDRNOTAVAIL: 'This host has no such address; `ip address` shows those that it has.',
  EAGAIN: 'The system is short of something for a moment; try again.',
  EBUSY: 'Something else uses it: a mounted file system, another process, or an operation that still runs.',
  ECONNREFUSED: 'The socket exists but nobody listens on it. Start the process that should.',
  EDQUOT: 'The disk quota of this user is used up.',
  EFBIG: 'The file would exceed what its file system or `ulimit -f` allows.',
  EINVAL: 'The file or device does not support this. With direct I/O, offsets must be aligned to its blocks.',
  EIO: 'The device reported an error. Look into the kernel log (`dmesg`).',
  EISDIR: 'This is a directory; name a file or a block device.',
  ELOOP: 'The path holds a circle of symbolic links.',
  EMFILE: 'This process has too many open files. Raise its limit (`ulimit -n`, or LimitNOFILE= in systemd).',
  ENAMETOOLONG: 'The path is too long; that of a Unix socket may have 107 bytes.',
  ENFILE: 'The system has too many open files or lunport too many memory regions.',
  ENODEV: 'Name a regular file, a memfd or a block device.',
  ENOENT: 'Check the path. Missing folders are not created.',
  ENOMEM: 'The system has no memory left for this. Look at `ulimit -v`, cgroup limits and vm.max_map_count.',
  ENOSPC: 'Free space on the file system, or move the file to another.',
  ENOSYS: 'This kernel is too old for it, or a sandbox forbids it.',
  ENOTDIR: 'Something on the path is not a folder.',
  ENXIO: 'There is no such device, or it is gone.',
  EOPNOTSUPP: 'This file system or device does not support it.',
  EPERM: 'The system forbids it to this user or in this sandbox (container, seccomp, immutable file).',
  EROFS: 'The file system is mounted read-only. Open the disk read-only, or remount.',
  ETXTBSY: 'The file is being executed.',
};

/** What libuv does not know, or knows by another name. */
const OTHERS: Readonly<Record<number, readonly [name: string, text: string]>> = {
  [Errno.ENOLCK]: ['ENOLCK', 'no locks available'],
  [Errno.EOPNOTSUPP]: ['EOPNOTSUPP', 'operation not supported'],
};

/** Name and text of an errno as the addon returns it (negative), such as ['ENOENT', 'no such file or directory']. */
export function describeErrno(errno: number): readonly [name: string, text: string] {
  return OTHERS[errno] ?? getSystemErrorMap().get(errno) ?? [`E${-errno}`, `system error ${-errno}`];
}

/** An error for a system call that failed: `systemError(-2, 'open', '/dev/sdz')`. */
export function systemError(errno: number, action: string, object: string, cause?: unknown): LunportError {
  const [code, text] = describeErrno(errno);
  const message = `Cannot ${action} ${object}: ${text}`;
  return new LunportError({ code, object, message, hint: HINTS[code], cause });
}

/** Passes a result on, or throws what it says went wrong. */
export function checked(result: number, action: string, object: string): number {
  if (result < 0) throw systemError(result, action, object);
  return result;
}

/** The same for an error thrown by a node: module; anything else is returned as it is. */
export function fromNodeError(error: unknown, action: string, object: string): unknown {
  if (!(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') return error;
  return systemError(error.errno, action, object, error);
}
