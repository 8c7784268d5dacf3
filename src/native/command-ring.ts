/**
 * Commands to a device's driver by io_uring, by slot: each is sent, and its owner hears of its end exactly once. What
 * is sent while completions are dispatched, or in one turn of the event loop, goes to the kernel in one call.
 */
import { addon, type RawCommandRing } from './addon.ts';
import { checked, Errno, systemError } from './errno.ts';

export interface CommandOwner {
  /** The result, or a negative errno. May send further commands. */
  commandDone(slot: number, result: number): void;
}

/** Numbers per row of each table; native/src/command_ring.h says the same. */
const SUBMISSION = 9;
const COMPLETION = 2;
/** After so many exchanges without a pause, everything else in the loop has its turn. */
const ROUNDS_PER_TURN = 16;

export class CommandRing {
  private readonly raw: RawCommandRing;
  private readonly owner: CommandOwner;
  private readonly submissions: Float64Array;
  private readonly completions: Int32Array;
  private rowCount = 0;
  private rounds = 0;
  private scheduled = false;
  private dispatching = false;

  /** Throws LunportError where io_uring cannot be used so. */
  constructor(depth: number, owner: CommandOwner) {
    this.owner = owner;
    const raw = addon.createCommandRing(depth, this.onReady);
    if (typeof raw === 'number') throw systemError(raw, 'start', 'a ring for device commands');
    this.raw = raw;
    this.submissions = new Float64Array(raw.submissions);
    this.completions = new Int32Array(raw.completions);
  }

  /**
   * `word0`, `word1`: 32 bits each; the driver gets the address of the memory, if `region` is not negative. The slot
   * must be free, which it is again when its command is done.
   */
  send(
    slot: number,
    fd: number,
    command: number,
    word0: number,
    word1: number,
    region: number,
    offset: number,
    length: number,
    data: number,
  ): void {
    const { submissions } = this;
    const at = this.rowCount++ * SUBMISSION;
    submissions[at] = slot;
    submissions[at + 1] = fd;
    submissions[at + 2] = command;
    submissions[at + 3] = word0;
    submissions[at + 4] = word1;
    submissions[at + 5] = region;
    submissions[at + 6] = offset;
    submissions[at + 7] = length;
    submissions[at + 8] = data;
    if (!this.dispatching) this.schedule();
  }

  /** Throws while commands run. */
  close(): void {
    checked(this.raw.close(), 'close', 'a ring for device commands');
  }

  private readonly onReady = (): void => {
    this.rounds = 0;
    this.exchange();
  };

  private readonly scheduledExchange = (): void => {
    this.scheduled = false;
    if (this.rowCount > 0) this.exchange();
  };

  private readonly nextTurn = (): void => {
    this.rounds = 0;
    this.scheduledExchange();
  };

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    if (this.rounds < ROUNDS_PER_TURN) queueMicrotask(this.scheduledExchange);
    else setImmediate(this.nextTurn);
  }

  private exchange(): void {
    do {
      this.rounds++;
      const count = this.raw.exchange(this.rowCount);
      this.rowCount = 0;
      if (count < 0) throw systemError(count, 'send', 'a device command');
      this.dispatch(count);
    } while (this.rowCount > 0 && this.rounds < ROUNDS_PER_TURN);
    if (this.rowCount > 0) this.schedule();
  }

  private dispatch(count: number): void {
    this.dispatching = true;
    try {
      for (let i = 0; i < count; i++) {
        this.owner.commandDone(this.completions[i * COMPLETION], this.completions[i * COMPLETION + 1]);
      }
    } finally {
      this.dispatching = false;
    }
  }
}

/** Whether this process may use such a ring at all. */
export function canUseCommandRing(): boolean {
  const raw = addon.createCommandRing(1, () => {});
  return typeof raw !== 'number' && raw.close() !== Errno.EBUSY;
}
