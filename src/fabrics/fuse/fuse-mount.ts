/**
 * Mounts by fusermount3, which lets ordinary users mount too: it opens /dev/fuse, mounts, and sends the descriptor
 * over a socket. When this process is killed the mount stays, and whoever uses it gets ENOTCONN until it is unmounted.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addon, type RawPoll } from '../../native/addon.ts';
import { checked, Errno, LunportError, systemError } from '../../native/errno.ts';
import { type ProgramEnd, type ProgramOptions, runProgram } from '../../native/program.ts';

const PROGRAM = 'fusermount3';
/** Where the program finds its end of the socket (libfuse's convention). */
const SOCKET_VARIABLE = '_FUSE_COMMFD';
const CHILD_SOCKET = 3;
const READABLE = 1;

/** Mounts on `path`, a file that exists; resolves with /dev/fuse, opened for it. Throws LunportError. */
export async function mountFuse(path: string, name: string, readOnly: boolean): Promise<number> {
  const [ours, theirs] = socketPair();
  const fsname = `lunport:${name.replace(/[^\w.:-]/g, '_')}`;
  const options = [`fsname=${fsname}`, 'subtype=lunport', 'nosuid', 'nodev', ...(readOnly ? ['ro'] : [])];
  const descriptor = theirs;
  const environment = { [SOCKET_VARIABLE]: String(CHILD_SOCKET) };
  const failed = run(path, ['-o', options.join(','), '--', path], { descriptor, environment }).then(
    ({ status, errors }) => {
      if (status !== 0) throw cannotMount(path, errors.trim() || `${PROGRAM} ended with ${status}`);
      // The descriptor comes, or has come.
      return new Promise<never>(() => {});
    },
  );
  addon.close(theirs);
  const receiver = new DescriptorReceiver(ours);
  try {
    return await Promise.race([receiver.descriptor, failed]);
  } finally {
    failed.catch(() => {});
    receiver.close();
  }
}

/** Takes away what is mounted on `path`. Throws LunportError while it is in use. */
export async function unmountFuse(path: string): Promise<void> {
  const { status, errors } = await run(path, ['-u', '--', path]);
  if (status === 0) return;
  const message = `Cannot unmount ${path}: ${errors.trim() || `${PROGRAM} ended with ${status}`}`;
  const hint = 'Somebody still has the file open, or a file system on it mounted.';
  throw new LunportError({ code: 'unmount', object: path, message, hint });
}

async function run(path: string, args: readonly string[], options?: ProgramOptions): Promise<ProgramEnd> {
  try {
    return await runProgram(PROGRAM, args, options);
  } catch (cause) {
    throw cannotMount(path, (cause as Error).message, cause);
  }
}

function cannotMount(path: string, reason: string, cause?: unknown): LunportError {
  const hint = existsSync('/dev/fuse')
    ? 'It needs the package fuse3, and permission to open /dev/fuse.'
    : 'This kernel or container has no /dev/fuse (`modprobe fuse`, or give the container the device).';
  return new LunportError({
    code: 'mount',
    object: path,
    message: `Cannot mount on ${path}: ${reason}`,
    hint,
    cause,
  });
}

/** Two ends of one connection, both never blocking. */
function socketPair(): [number, number] {
  const folder = mkdtempSync(join(tmpdir(), 'lunport-fuse-'));
  const path = join(folder, 'socket');
  try {
    const listener = checked(addon.unixListen(path, 1), 'listen on', path);
    try {
      const theirs = checked(addon.unixConnect(path), 'connect to', path);
      return [checked(addon.unixAccept(listener), 'accept a connection on', path), theirs];
    } finally {
      addon.close(listener);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Waits for the one descriptor that comes over a socket, which it then closes. */
class DescriptorReceiver {
  readonly descriptor: Promise<number>;
  private readonly socket: number;
  private poll: RawPoll | undefined = undefined;

  constructor(socket: number) {
    this.socket = socket;
    this.descriptor = new Promise((resolve, reject) => {
      const poll = addon.poll(socket, READABLE, () => this.receive(resolve));
      if (typeof poll === 'number') reject(systemError(poll, 'wait for', PROGRAM));
      else this.poll = poll;
    });
  }

  close(): void {
    this.poll?.stop();
    addon.close(this.socket);
  }

  private receive(resolve: (fd: number) => void): void {
    const fds = new Int32Array(1);
    const count = new Int32Array(1);
    const length = addon.receive(this.socket, new Uint8Array(1), 0, 1, fds, count);
    if (length === Errno.EAGAIN) return;
    this.poll?.stop();
    // An end without a descriptor: the program has said why, and its exit rejects.
    if (length > 0 && count[0] === 1) resolve(fds[0]);
  }
}
