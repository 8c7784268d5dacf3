/** Listening Unix sockets that survive `kill -9` of their last owner. */
import { lstatSync, unlinkSync } from 'node:fs';
import { Acceptor, type AcceptorOwner } from './acceptor.ts';
import { addon } from './addon.ts';
import { checked, Errno, LunportError } from './errno.ts';
import { takeInherited } from './inherited-sockets.ts';

const BACKLOG = 16;
export type UnixListenerOwner = AcceptorOwner;

export class UnixListener {
  readonly path: string;
  readonly #acceptor: Acceptor;
  /** What we made, to remove nobody else's later; undefined when the socket is the service manager's. */
  readonly #made: { dev: number; ino: number } | undefined;

  /**
   * Listens on `path` with mode 0600, taking over a socket that nobody listens on any more; where a service manager
   * listens there for us, on its socket instead, as it is. Throws a LunportError: EADDRINUSE when somebody else does.
   */
  constructor(path: string, owner: UnixListenerOwner) {
    this.path = path;
    const inherited = takeInherited(path);
    const fd = inherited ?? listen(path);
    if (inherited === undefined) {
      const { dev, ino } = lstatSync(path);
      this.#made = { dev, ino };
    }
    this.#acceptor = new Acceptor(fd, path, owner);
  }

  get fd(): number {
    return this.#acceptor.fd;
  }

  /** Stops listening; the file goes too, if it is still ours. */
  close(): void {
    if (!this.#acceptor.open) return;
    if (this.#made !== undefined && isSocket(this.path, this.#made)) unlinkSync(this.path);
    this.#acceptor.close();
  }
}

/** Connects to the socket at `path`; returns a descriptor that never blocks. */
export function connectUnix(path: string): number {
  return checked(addon.unixConnect(path), 'connect to', path);
}

function listen(path: string): number {
  const fd = addon.unixListen(path, BACKLOG);
  if (fd === Errno.EADDRINUSE && isOther(path)) throw notASocket(path);
  if (fd !== Errno.EADDRINUSE || !isAbandoned(path)) return checked(fd, 'listen on', path);
  unlinkSync(path);
  return checked(addon.unixListen(path, BACKLOG), 'listen on', path);
}

/** Whether `path` is a socket whose listener is gone. */
function isAbandoned(path: string): boolean {
  if (!isSocket(path)) return false;
  const fd = addon.unixConnect(path);
  if (fd >= 0) addon.close(fd);
  return fd === Errno.ECONNREFUSED;
}

/** Something that is no socket is there. */
function isOther(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false;
}

function notASocket(path: string): LunportError {
  return new LunportError({
    code: 'EADDRINUSE',
    object: path,
    message: `Cannot listen on ${path}: a file or folder is there`,
    hint: 'Choose another path, or move away what is there.',
  });
}

function isSocket(path: string, same?: { dev: number; ino: number }): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isSocket()) return false;
  return same === undefined || (stat.dev === same.dev && stat.ino === same.ino);
}
