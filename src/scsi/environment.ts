/**
 * What the core asks of the process around it: bytes of the fabrics' memory, a clock, and timers. The core
 * itself knows no operating system, so a test can hand it plain arrays and a clock that it turns by hand.
 */

/** A buffer of the core's own that backstores can also reach as a segment. */
export interface Scratch {
  readonly region: number;
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  readonly bytes: Uint8Array;
}

export interface Memory {
  /** Copies `length` bytes of a region from `offset` into `into`, starting at `at`. */
  read(region: number, offset: number, into: Uint8Array, at: number, length: number): void;
  /** Copies `length` bytes of `from`, starting at `at`, to `offset` of a region. */
  write(region: number, offset: number, from: Uint8Array, at: number, length: number): void;
  /**
   * A buffer of at least `length` bytes with undefined content; give it back with `release`. `filled`: all of it will
   * be written before anybody else gets to read it, so nothing need be wiped.
   */
  allocate(length: number, filled?: boolean): Scratch;
  release(scratch: Scratch): void;
}

export interface Timer {
  cancel(): void;
}

export interface Environment {
  readonly memory: Memory;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once after `milliseconds`; never keeps the process alive on its own. */
  after(milliseconds: number, callback: () => void): Timer;
  /**
   * Hears of an exception in a command's handler: a defect of ours, whose task has ended with INTERNAL TARGET
   * FAILURE already. Absent: it is thrown on to the fabric.
   */
  defect?(error: unknown): void;
}
