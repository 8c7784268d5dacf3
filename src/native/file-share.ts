/**
 * One file's part of the io engine's slots, and its operations that have to wait. A file may take slots as long as
 * it has less than a quarter of what is free: a fifth of all where nobody else has any, so that the next ones still
 * find room when it hangs. The last eighth is for files that have none.
 */
import { WaitingOperations } from './waiting-operations.ts';

/** Of the free slots, the part that one file may come to hold is 1 / this. */
const FREE_PART = 4;
/** Of all slots, the part that is kept for files without any is 1 / this. */
const LAST_PART = 8;

export class FileShare {
  /** Slots taken. */
  running = 0;
  readonly waiting = new WaitingOperations();
  /** Among those that the engine looks at when slots become free. */
  listed = false;

  /** Whether it may take one more of `free` slots of `all`. */
  admits(free: number, all: number): boolean {
    return this.running === 0 || (this.running * FREE_PART < free && free * LAST_PART > all);
  }
}
