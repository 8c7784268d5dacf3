/**
 * How much memory the commands of one logical unit may take that move blocks through memory of our own: a task set of
 * 8192 such commands would take gigabytes. Whoever finds nothing left waits, first come, first served, before it asks
 * for its range, so nobody who has memory waits for one who has none. Copies are bounded by their own number
 * (CopyLimit.CONCURRENT) and do not come here: they lock ranges piece by piece, of other units too.
 */
import type { RangeLocks } from './range-locks.ts';
import { Status } from './status-spec.ts';
import type { Task } from './task.ts';

/** Bytes: 16 commands at a time with two buffers of the largest size, 2048 with two of 4 KiB. */
const BUDGET = 16 << 20;

interface Waiter {
  readonly bytes: number;
  readonly go: () => void;
}

export class ScratchBudget {
  private readonly rangeLocks: RangeLocks;
  private left = BUDGET;
  /** In the order of arrival. */
  private readonly waiting = new Map<Task, Waiter>();
  private serving = false;

  constructor(rangeLocks: RangeLocks) {
    this.rangeLocks = rangeLocks;
  }

  /** Calls `go` when the task may take `bytes`, at once if there are as many; `leave` with as many follows. */
  enter(task: Task, bytes: number, go: () => void): void {
    if (bytes === 0) return go();
    if (this.waiting.size === 0 && this.grant(bytes)) return go();
    this.waiting.set(task, { bytes, go });
    // It touches nothing yet: whoever wants its range and has memory goes first.
    this.rangeLocks.park(task);
    task.onAbort = () => {
      this.take(task);
      task.finish(Status.TASK_ABORTED);
      // It may have been the one that everybody else waited behind.
      this.serve();
    };
  }

  leave(bytes: number): void {
    if (bytes === 0) return;
    this.left += charged(bytes);
    this.serve();
  }

  /** Oldest first. `go` may end its task at once and come back here: the loop below then simply goes on. */
  private serve(): void {
    if (this.serving) return;
    this.serving = true;
    for (const [task, { bytes, go }] of this.waiting) {
      if (!this.grant(bytes)) break;
      this.take(task);
      go();
    }
    this.serving = false;
  }

  private grant(bytes: number): boolean {
    if (charged(bytes) > this.left) return false;
    this.left -= charged(bytes);
    return true;
  }

  private take(task: Task): void {
    this.waiting.delete(task);
    this.rangeLocks.unpark(task);
    task.onAbort = undefined;
  }
}

/** A command that wants more than there ever is has all of it. */
function charged(bytes: number): number {
  return Math.min(bytes, BUDGET);
}
