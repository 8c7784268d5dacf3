/**
 * Atomicity over a range of blocks: COMPARE AND WRITE, ORWRITE, WRITE ATOMIC and copies lock their blocks
 * against every other medium access that overlaps.
 *
 * READ and WRITE take no lock. While nobody holds or wants one they look at `held` and go on; whoever wants one
 * walks the task set for accesses under way and waits for them, and accesses that arrive meanwhile queue here.
 * All waiting is first in, first out among overlapping ranges, so nobody starves and nobody can deadlock:
 * a holder never waits for a second range.
 */
import type { BlockDevice } from './block-device.ts';
import type { Task } from './task.ts';

/** A range held exclusively, from `acquire` to `release`. */
export interface RangeLock {
  /** First logical block. */
  readonly lba: number;
  /** Logical blocks. */
  readonly blocks: number;
}

interface Waiter {
  readonly lba: number;
  readonly blocks: number;
  /** Absent when a copy from another unit asks. */
  readonly task: Task | undefined;
  /** The lock that is to be granted; absent for a plain access that only waits for its turn. */
  readonly lock: RangeLock | undefined;
  readonly go: () => void;
}

export class RangeLocks {
  readonly device: BlockDevice;
  /** Number of locks held or waited for: the one thing the path of a READ looks at. */
  held = 0;
  private readonly granted = new Set<RangeLock>();
  private queue: Waiter[] = [];
  /** Tasks in `queue`, and those that wait for memory: they have started, but touch nothing yet. */
  private readonly parked = new Set<Task>();
  private pumping = false;
  private pumpAgain = false;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  /** Locks a range for `task` (undefined for an access that has no task here); resolves when it is granted. */
  acquire(lba: number, blocks: number, task?: Task): Promise<RangeLock> {
    this.held++;
    const lock: RangeLock = { lba, blocks };
    return new Promise((resolve) => {
      this.enqueue({ lba, blocks, task, lock, go: () => resolve(lock) });
    });
  }

  /** Locks a range if that needs no waiting. */
  tryAcquire(lba: number, blocks: number): RangeLock | undefined {
    const lock: RangeLock = { lba, blocks };
    if (!this.mayGo({ ...lock, task: undefined, lock, go: () => {} }, this.queue.length)) return undefined;
    this.held++;
    this.granted.add(lock);
    return lock;
  }

  release(lock: RangeLock): void {
    if (!this.granted.delete(lock)) throw new Error('a range lock was released twice');
    this.held--;
    this.pump();
  }

  /**
   * Called by a plain access when `held` is not 0. True: it must wait, and `go(task)` is called when its range
   * is free. False: nothing is in its way.
   */
  defer(task: Task, go: (task: Task) => void): boolean {
    const waiter = { lba: task.lba, blocks: task.blocks, task, lock: undefined, go: () => go(task) };
    if (!this.blockedByLocks(waiter, this.queue.length)) return false;
    this.enqueue(waiter);
    return true;
  }

  /** `task` has started and waits for something else before it asks for its range: it is in nobody's way. */
  park(task: Task): void {
    this.parked.add(task);
  }

  /** It asks for its range now, or has ended. */
  unpark(task: Task): void {
    this.parked.delete(task);
  }

  /** Called after a medium access has ended while `held` is not 0. */
  ended(): void {
    this.pump();
  }

  private enqueue(waiter: Waiter): void {
    this.queue.push(waiter);
    if (waiter.task !== undefined) this.parked.add(waiter.task);
    this.pump();
  }

  /** Starts whoever can start, oldest first. */
  private pump(): void {
    // `go` may end an access at once and come back here: the loop below then simply runs again.
    this.pumpAgain = true;
    if (this.pumping) return;
    this.pumping = true;
    while (this.pumpAgain) {
      this.pumpAgain = false;
      const index = this.queue.findIndex((waiter, at) => this.mayGo(waiter, at));
      if (index < 0) continue;
      const [waiter] = this.queue.splice(index, 1);
      if (waiter.task !== undefined) this.parked.delete(waiter.task);
      if (waiter.lock !== undefined) this.granted.add(waiter.lock);
      this.pumpAgain = true;
      waiter.go();
    }
    this.pumping = false;
  }

  private mayGo(waiter: Waiter, position: number): boolean {
    if (this.blockedByLocks(waiter, position)) return false;
    return waiter.lock === undefined || !this.accessUnderWay(waiter);
  }

  /** Whether a granted lock, or somebody earlier in the queue, keeps `waiter` from its range. */
  private blockedByLocks(waiter: Waiter, position: number): boolean {
    for (const lock of this.granted) if (overlap(lock, waiter)) return true;
    for (let i = 0; i < position; i++) {
      const earlier = this.queue[i];
      if ((earlier.lock !== undefined || waiter.lock !== undefined) && overlap(earlier, waiter)) return true;
    }
    return false;
  }

  /** Whether a started access that waits for nothing here overlaps `waiter`. */
  private accessUnderWay(waiter: Waiter): boolean {
    for (let task = this.device.taskSet.first; task !== undefined; task = task.next) {
      if (task === waiter.task || !task.started || this.parked.has(task)) continue;
      if (task.blocks > 0 && overlap(task, waiter)) return true;
    }
    return false;
  }
}

interface Range {
  readonly lba: number;
  readonly blocks: number;
}

/** A range of no blocks overlaps nothing, wherever it stands. */
function overlap(a: Range, b: Range): boolean {
  return Math.max(a.lba, b.lba) < Math.min(a.lba + a.blocks, b.lba + b.blocks);
}
