/**
 * Where blocks live, as the core sees it: a range of bytes that completes operations in any order.
 *
 * A backstore says truthfully what it can do; the core emulates or refuses the rest and reports accordingly. It
 * never knows who asked: no nexus, no CDB, no sense data reaches it.
 */
import type { SegmentList } from './segment-list.ts';

export const OperationKind = {
  READ: 0,
  WRITE: 1,
  /** All completed writes become durable. */
  FLUSH: 2,
  /** The range's content may be forgotten; see `unmapReadsZero`. */
  UNMAP: 3,
  /** The range reads as zeroes afterwards and stays allocated. */
  WRITE_ZEROES: 4,
  /** A hint that the range will be read. */
  PREFETCH: 5,
} as const;
export type OperationKind = (typeof OperationKind)[keyof typeof OperationKind];

export const Outcome = {
  GOOD: 0,
  /** The device could not read or write; `transferred` says how far it came. */
  MEDIUM_ERROR: 1,
  /** No space left on what holds the blocks. */
  NO_SPACE: 2,
  WRITE_PROTECTED: 3,
  /** The backing is gone or shrank under us. */
  GONE: 4,
  /** Ended by `cancel`. */
  CANCELLED: 5,
  /** The backing does not answer; a later try may succeed. */
  BUSY: 6,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

export interface OperationOwner {
  /** Called exactly once per `start`, possibly before `start` returns. May start further operations. */
  operationDone(operation: BackstoreOperation): void;
}

/** One request to a backstore. Pooled by its user; a backstore keeps no reference after `operationDone`. */
export class BackstoreOperation {
  kind: OperationKind = OperationKind.READ;
  /** Bytes from the start of the backstore. */
  offset = 0;
  /** Bytes. */
  length = 0;
  /** Data for READ and WRITE: `length` bytes from byte `segmentsOffset` of the list. */
  segments: SegmentList | undefined = undefined;
  segmentsOffset = 0;
  /** WRITE, WRITE_ZEROES, UNMAP: complete only when on stable storage. */
  forceUnitAccess = false;
  outcome: Outcome = Outcome.GOOD;
  /** Bytes moved before an error. */
  transferred = 0;
  owner: OperationOwner | undefined = undefined;
  /** For the owner's own use. */
  context: unknown = undefined;
  /** For the backstore's own use while the operation runs. */
  backstoreContext: unknown = undefined;
  /** Between `startOn` and its end. */
  running = false;
  /** Where it runs, or ran last. */
  private backstore: Backstore | undefined = undefined;

  /** Starts it so that `cancel` can reach it. */
  startOn(backstore: Backstore): void {
    if (this.backstore !== backstore) this.backstore = backstore;
    this.running = true;
    try {
      backstore.start(this);
    } catch (error) {
      this.running = false;
      throw error;
    }
  }

  /** Asks for an early end, if it runs; it still completes exactly once, through its owner. */
  cancel(): void {
    if (this.running) this.backstore!.cancel(this);
  }

  finish(outcome: Outcome, transferred: number): void {
    this.running = false;
    this.outcome = outcome;
    this.transferred = transferred;
    this.owner!.operationDone(this);
  }
}

export interface BackstoreCapabilities {
  readonly readOnly: boolean;
  /** Writes are durable only after FLUSH: a volatile cache exists. */
  readonly volatileCache: boolean;
  readonly unmap: boolean;
  /** Unmapped ranges read as zeroes: what LBPRZ may promise. */
  readonly unmapReadsZero: boolean;
  /** Bytes; unmap requests work best on multiples of this. */
  readonly unmapGranularity: number;
  readonly writeZeroes: boolean;
  /** Bytes; the unit in which the backing writes without reading first (512 or 4096 mostly). */
  readonly physicalBlockSize: number;
  /** Whether seeking costs time: medium rotation rate of VPD B1. */
  readonly rotational: boolean;
  /**
   * READ and WRITE may name segments that are in no memory of ours, but buffers of the kernel, and do best with them.
   * Absent: the backstore can do nothing with such.
   */
  readonly kernelBuffers?: boolean;
  /** All content is gone when the process ends; absent: it stays. */
  readonly volatile?: boolean;
}

/** Bytes that the blocks take up, and that they could still take. */
export interface BackstoreSpace {
  readonly used: number;
  readonly available: number;
}

/** What `extent` tells: whether a byte is mapped, and the offset (exclusive) up to which that holds. */
export interface BackstoreExtent {
  readonly mapped: boolean;
  readonly end: number;
}

export interface Backstore {
  /** For messages and logs, as the user named it. */
  readonly name: string;
  readonly capabilities: BackstoreCapabilities;
  /** Bytes. */
  readonly byteLength: number;
  start(operation: BackstoreOperation): void;
  /** Asks for an early end; the operation still completes exactly once. */
  cancel(operation: BackstoreOperation): void;
  /**
   * Whether the byte at `offset` is mapped, and up to which offset (exclusive) that answer holds. Absent when
   * the backstore cannot tell; then everything counts as mapped.
   */
  extent?(offset: number): BackstoreExtent | Promise<BackstoreExtent>;
  /**
   * Copies `length` bytes at `from` of `source` to `to`, ranges that do not overlap, without the data passing
   * through memory of ours. Resolves to whether all of it was copied; if not, any of it may have been. Absent when
   * the backstore never can.
   */
  copyFrom?(source: Backstore, from: number, to: number, length: number): Promise<boolean>;
  /** Absent when the backstore cannot tell; then there are no provisioning thresholds. May cost a system call. */
  space?(): BackstoreSpace;
}
