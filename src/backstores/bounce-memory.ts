/**
 * Memory for one disk's copies of buffers that O_DIRECT cannot use, with a bound. It knows neither what is copied nor
 * why.
 */
import type { Memory, Scratch } from '../scsi/environment.ts';

/**
 * Bytes that all copies may take: an initiator may have thousands of requests under way, each of 32 MiB, and all of
 * them in the same few pages of its own.
 */
export const BOUNCE_BUDGET = 64 << 20;

export interface BounceUser {
  /** Bytes that it needs. */
  readonly length: number;
  /** Called once for each `ask` that was not forgotten. Without memory, for the system has none: `undefined`. */
  bounceGranted(bounce: Scratch | undefined): void;
}

export class BounceMemory {
  private readonly memory: Memory;
  /** Bytes granted and not given back. */
  private granted = 0;
  /** Oldest first. */
  private readonly waiting: BounceUser[] = [];

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** Grants `user` its memory, now or when there is room and all who came before have theirs. One has room in any case. */
  ask(user: BounceUser): void {
    this.waiting.push(user);
    this.serve();
  }

  giveBack(bounce: Scratch): void {
    this.granted -= bounce.length;
    this.memory.release(bounce);
    this.serve();
  }

  /** Whether `user` was waiting; it waits no more. */
  forget(user: BounceUser): boolean {
    const at = this.waiting.indexOf(user);
    if (at < 0) return false;
    this.waiting.splice(at, 1);
    // The next may need less.
    this.serve();
    return true;
  }

  private serve(): void {
    const { waiting } = this;
    while (waiting.length > 0 && (this.granted === 0 || this.granted + waiting[0].length <= BOUNCE_BUDGET)) {
      const user = waiting.shift()!;
      user.bounceGranted(this.allocate(user.length));
    }
  }

  private allocate(length: number): Scratch | undefined {
    try {
      const bounce = this.memory.allocate(length);
      this.granted += bounce.length;
      return bounce;
    } catch {
      return undefined;
    }
  }
}
