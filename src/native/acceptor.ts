/** Takes connections off a listening socket of any kind, and survives a shortage of descriptors or memory. */
import { addon, type RawPoll } from './addon.ts';
import { Errno, systemError } from './errno.ts';

const READABLE = 1;
/** Milliseconds without accepting after it failed. */
const PAUSE = 1000;

export interface AcceptorOwner {
  /** Somebody connected; `fd` is the owner's from now on. */
  connected(fd: number): void;
  /** Accepting failed; it is tried again a second later. */
  acceptFailed(error: Error): void;
}

export class Acceptor {
  readonly fd: number;
  readonly #name: string;
  readonly #owner: AcceptorOwner;
  readonly #poll: RawPoll;
  #open = true;
  /** Until it accepts again: this alone keeps the process running then, since nothing is polled. */
  #paused: NodeJS.Timeout | undefined = undefined;

  /** Closes `fd`, a listening socket, in any case: here when it throws, else in `close`. `name` is for errors. */
  constructor(fd: number, name: string, owner: AcceptorOwner) {
    this.fd = fd;
    this.#name = name;
    this.#owner = owner;
    const poll = addon.poll(fd, READABLE, () => this.#accept());
    if (typeof poll === 'number') {
      addon.close(fd);
      throw systemError(poll, 'listen on', name);
    }
    this.#poll = poll;
  }

  get open(): boolean {
    return this.#open;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#paused);
    this.#poll.stop();
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
      this.#pause();
      this.#owner.acceptFailed(systemError(fd, 'accept a connection on', this.#name));
      return;
    }
  }

  /** The connection that still waits would wake the loop without end. */
  #pause(): void {
    this.#poll.events(0);
    this.#paused = setTimeout(() => this.#poll.events(READABLE), PAUSE);
  }
}
