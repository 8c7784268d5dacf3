/** Listening Unix sockets that survive `kill -9` of their last owner. */
import { lstatSync, unlinkSync } from 'node:fs';
import { addon, type RawPoll } from './addon.ts';
import { checked, Errno, systemError } from './errno.ts';

const BACKLOG = 16;
const READABLE = 1;

export interface UnixListenerOwner {
  /** Somebody connected; `fd` is the owner's from now on. */
  connected(fd: number): void;
  /** Accepting failed for a reason that does not pass, or keeps failing for want of descriptors. */
  acceptFailed(error: Error): void;
}

export class UnixListener {
  readonly path: string;
  readonly fd: number;
  readonly #owner: UnixListenerOwner;
  readonly #poll: RawPoll;
  /** What we made, to remove nobody else's later; undefined when the socket was handed to us. */
  readonly #made: { dev: number; ino: number } | undefined;
  #open = true;

  /**
   * Listens on `path` with mode 0600, taking over a socket that nobody listens on any more. Throws a
   * LunportError: EADDRINUSE when somebody does. With `inherited`, listens on that descriptor instead (LISTEN_FDS).
   */
  constructor(path: string, owner: UnixListenerOwner, inherited?: number) {
    this.path = path;
    this.#owner = owner;
    this.fd = inherited ?? listen(path);
    if (inherited === undefined) {
      const { dev, ino } = lstatSync(path);
      this.#made = { dev, ino };
    } else checked(addon.setNonblocking(inherited), 'listen on', path);
    const poll = addon.poll(this.fd, READABLE, () => this.#accept());
    if (typeof poll === 'number') {
      addon.close(this.fd);
      throw systemError(poll, 'listen on', path);
    }
    this.#poll = poll;
  }

  /** Lets the process exit although this socket listens. */
  unref(): void {
    this.#poll.unref();
  }

  /** Stops listening; the file goes too, if it is still ours. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poll.stop();
    if (this.#made !== undefined && isSocket(this.path, this.#made)) unlinkSync(this.path);
    addon.close(this.fd);
  }

  #accept(): void {
    while (this.#open) {
      const fd = addon.unixAccept(this.fd);
      if (fd >= 0) {
        this.#owner.connected(fd);
        continue;
      }
      if (fd === Errno.EAGAIN) return;
      // Whoever connected went away before we looked.
      if (fd === Errno.ECONNABORTED) continue;
      if (fd === Errno.EMFILE || fd === Errno.ENFILE) this.#pause();
      this.#owner.acceptFailed(systemError(fd, 'accept a connection on', this.path));
      return;
    }
  }

  /** Out of descriptors: the waiting connection would wake the loop without end. */
  #pause(): void {
    this.#poll.events(0);
    const timer = setTimeout(() => {
      if (this.#open) this.#poll.events(READABLE);
    }, 1000);
    timer.unref();
  }
}

/** Connects to the socket at `path`; returns a descriptor that never blocks. */
export function connectUnix(path: string): number {
  return checked(addon.unixConnect(path), 'connect to', path);
}

function listen(path: string): number {
  const fd = addon.unixListen(path, BACKLOG);
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

function isSocket(path: string, same?: { dev: number; ino: number }): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isSocket()) return false;
  return same === undefined || (stat.dev === same.dev && stat.ino === same.ino);
}
