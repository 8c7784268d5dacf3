/**
 * The way to a front-end that listens (QEMU's `-chardev socket,server=on`): connects, and when the front-end is not
 * there yet or has gone, tries again, ever more rarely. It does not know what is said on the connection.
 */
import { connectUnix } from '../../native/unix-socket.ts';

/** Milliseconds. Somebody who starts a guest waits for no longer than the most. */
const RETRY_LEAST = 50;
const RETRY_MOST = 2000;

export interface FrontEndDiallerOwner {
  /** `fd` is the owner's from now on, who calls `again` when that connection has ended. */
  connected(fd: number): void;
  /** Nobody listens there; said once for each time of waiting. */
  waiting(reason: string): void;
}

export class FrontEndDialler {
  private readonly path: string;
  private readonly owner: FrontEndDiallerOwner;
  private timer: NodeJS.Timeout | undefined = undefined;
  private delay = RETRY_LEAST;
  private said = false;
  private connectedAt = 0;
  private open = true;

  constructor(path: string, owner: FrontEndDiallerOwner) {
    this.path = path;
    this.owner = owner;
  }

  /** The first attempt. */
  dial(): void {
    if (!this.open) return;
    let fd: number;
    try {
      fd = connectUnix(this.path);
    } catch (error) {
      // A full backlog is a front-end that talks with somebody else.
      if (!this.said) this.owner.waiting(error instanceof Error ? error.message : String(error));
      this.said = true;
      this.later();
      return;
    }
    this.said = false;
    this.connectedAt = performance.now();
    this.owner.connected(fd);
  }

  /** The connection has ended: waits for the next front-end. One that left at once is asked ever more rarely. */
  again(): void {
    if (performance.now() - this.connectedAt > RETRY_MOST) this.delay = RETRY_LEAST;
    this.later();
  }

  close(): void {
    this.open = false;
    clearTimeout(this.timer);
  }

  private later(): void {
    if (!this.open) return;
    this.timer = setTimeout(() => this.dial(), this.delay);
    this.delay = Math.min(this.delay * 2, RETRY_MOST);
  }
}
