/**
 * Reads and writes of files and memory for one shard: operations are queued, `run` starts all of them with one
 * native call, and each owner hears of its end exactly once. Nothing is allocated per operation.
 *
 * A list of segments given here must stay as it is until its operation has completed.
 */
import { addon, type RawEngine } from './addon.ts';
import { IoColumns, IoKind } from './engine-spec.ts';
import { systemError } from './errno.ts';
import { FileShare } from './file-share.ts';
import type { Segments } from './segments.ts';
import { SubmissionTable } from './submission-table.ts';

export interface IoOwner {
  /** Bytes moved, 0 where none are counted, or a negative errno (`Errno`). May queue further operations. */
  ioCompleted(result: number): void;
}

export interface BatchEndListener {
  /** All completions there are have been dispatched: time to publish rings and to signal guests. */
  batchEnded(): void;
}

export type IoMode = 'auto' | 'io_uring' | 'threads';

export interface IoEngineOptions {
  /** Operations at a time; further ones wait. */
  readonly depth?: number;
  /** Segments that one batch can hold, and so the most that one operation can have. */
  readonly maxVectors?: number;
  /** 'auto' is io_uring where it is allowed, unless the environment's LUNPORT_IO names a mode. */
  readonly mode?: IoMode;
  /** Most threads where there is no io_uring. They come when needed; a sixteenth of them may work for one file. */
  readonly threads?: number;
  /** Hears of what an owner or a listener threw: a defect of ours. Without it, it becomes an uncaught exception. */
  readonly defect?: (error: unknown) => void;
}

const DEFAULT_DEPTH = 1024;
const DEFAULT_MAX_VECTORS = 16384;
const DEFAULT_THREADS = 64;

/** IoKind: from here on a region's memory is meant, not a file. */
const FIRST_RAM_KIND = IoKind.RAM_READ;

/** Copies of memory that one batch can hold, in its first rows; each row has a slot for them, beyond those of files. */
const COPIES = 256;

/** After so many batches without a pause, everything else in the loop has its turn. */
const ROUNDS_PER_TURN = 64;

function chosenMode(asked: IoMode): IoMode {
  const forced = process.env['LUNPORT_IO'];
  if (asked !== 'auto' || !forced) return asked;
  if (forced === 'auto' || forced === 'io_uring' || forced === 'threads') return forced;
  throw new RangeError(`Expected LUNPORT_IO to be auto, io_uring or threads, but received ${forced}`);
}

export class IoEngine {
  private readonly raw: RawEngine;
  private readonly depth: number;
  private readonly table: SubmissionTable;
  private readonly completions: Int32Array;
  /** By slot. */
  private readonly owners: (IoOwner | undefined)[];
  /** Copies that are in the table, or submitted and not dispatched. */
  private copies = 0;
  /** By row: of the copies in the table, and of those that were submitted last. */
  private copyOwners: (IoOwner | undefined)[] = new Array(COPIES).fill(undefined);
  private submittedOwners: (IoOwner | undefined)[] = new Array(COPIES).fill(undefined);
  private readonly freeSlots: Int32Array;
  private freeCount: number;
  /** By slot. */
  private readonly slotShares: (FileShare | undefined)[];
  private readonly shares = new Map<number, FileShare>();
  /** What memory does is done at once, whatever files do. */
  private readonly ramShare = new FileShare();
  private lastFile = Number.NaN;
  private lastShare = this.ramShare;
  /** Shares with waiting operations, and some that had them until now. */
  private readonly listed: FileShare[] = [];
  private waitingCount = 0;
  private readonly listeners: BatchEndListener[] = [];
  private readonly idleCallbacks: (() => void)[] = [];
  private readonly defect: (error: unknown) => void;
  private running = false;
  /** Whether the batch-end listeners are being called: some have been already. */
  private ending = false;
  private batching = false;
  private runScheduled = false;
  private nextTurn: NodeJS.Immediate | undefined = undefined;

  constructor(options: IoEngineOptions = {}) {
    const { depth = DEFAULT_DEPTH, maxVectors = DEFAULT_MAX_VECTORS, threads = DEFAULT_THREADS } = options;
    const raw = addon.createEngine({
      depth,
      copies: COPIES,
      maxVectors,
      mode: chosenMode(options.mode ?? 'auto'),
      threads,
      onReady: () => this.loop(this.raw.reap()),
    });
    if (typeof raw === 'number') throw systemError(raw, 'start', 'the io engine');
    this.raw = raw;
    this.depth = depth;
    this.table = new SubmissionTable(new Float64Array(raw.submissions), new Float64Array(raw.vectors));
    this.completions = new Int32Array(raw.completions);
    this.owners = new Array(depth).fill(undefined);
    this.slotShares = new Array(depth).fill(undefined);
    this.freeSlots = Int32Array.from({ length: depth }, (_, i) => depth - 1 - i);
    this.freeCount = depth;
    this.defect = options.defect ?? rethrowLater;
  }

  get mode(): 'io_uring' | 'threads' {
    return this.raw.mode;
  }

  /** Operations queued or running. */
  get inFlight(): number {
    return this.depth - this.freeCount + this.waitingCount + this.copies;
  }

  /**
   * Reads `length` bytes from `offset` of a file into the segments, from byte `segmentsOffset` of the list on.
   * Fewer bytes than asked for mean that the file ended. `flags`: IoFlag.
   */
  read(
    fd: number,
    offset: number,
    length: number,
    segments: Segments,
    segmentsOffset: number,
    flags: number,
    owner: IoOwner,
  ): void {
    this.queue(IoKind.READ_FILE, fd, flags, offset, length, segments, segmentsOffset, owner);
  }

  /** The other way round; completes with `length` or an error. With IoFlag.FUA the data is durable then. */
  write(
    fd: number,
    offset: number,
    length: number,
    segments: Segments,
    segmentsOffset: number,
    flags: number,
    owner: IoOwner,
  ): void {
    this.queue(IoKind.WRITE_FILE, fd, flags, offset, length, segments, segmentsOffset, owner);
  }

  /** Copies from a region into the segments. -EFAULT when any of the memory is gone (`RegionMemory.isBroken`). */
  ramRead(
    regionId: number,
    offset: number,
    length: number,
    segments: Segments,
    segmentsOffset: number,
    owner: IoOwner,
  ): void {
    this.queue(IoKind.RAM_READ, regionId, 0, offset, length, segments, segmentsOffset, owner);
  }

  ramWrite(
    regionId: number,
    offset: number,
    length: number,
    segments: Segments,
    segmentsOffset: number,
    owner: IoOwner,
  ): void {
    this.queue(IoKind.RAM_WRITE, regionId, 0, offset, length, segments, segmentsOffset, owner);
  }

  /** Zeroes a range of a region. Whole pages of ranges from 64 KiB on are given back to the system. */
  ramZero(regionId: number, offset: number, length: number, owner: IoOwner): void {
    this.queue(IoKind.RAM_ZERO, regionId, 0, offset, length, undefined, 0, owner);
  }

  /** All data written to the file before becomes durable (fdatasync). */
  fsync(fd: number, owner: IoOwner): void {
    this.queue(IoKind.FSYNC, fd, 0, 0, 0, undefined, 0, owner);
  }

  /** The range reads as zeroes, and its space is given back. -EOPNOTSUPP where the file system cannot. */
  punchHole(fd: number, offset: number, length: number, owner: IoOwner): void {
    this.queue(IoKind.PUNCH_HOLE, fd, 0, offset, length, undefined, 0, owner);
  }

  /** The range reads as zeroes, and stays allocated. -EOPNOTSUPP where the file system cannot. */
  zeroRange(fd: number, offset: number, length: number, owner: IoOwner): void {
    this.queue(IoKind.ZERO_RANGE, fd, 0, offset, length, undefined, 0, owner);
  }

  /** Reserves space for the range; neither its content nor the file's size changes. */
  preallocate(fd: number, offset: number, length: number, owner: IoOwner): void {
    this.queue(IoKind.PREALLOCATE, fd, 0, offset, length, undefined, 0, owner);
  }

  /** Begins to read the range into the page cache. */
  prefetch(fd: number, offset: number, length: number, owner: IoOwner): void {
    this.queue(IoKind.PREFETCH, fd, 0, offset, length, undefined, 0, owner);
  }

  /**
   * Reads of this file with IoFlag.INLINE may be copies from a mapping of its page cache from now on. Whoever says so
   * closes the file by `addon.close`.
   */
  mapReads(fd: number): void {
    this.raw.mapReads(fd);
  }

  /** Whether a `run` is under way or sure to come: what ends now will be followed by the batch-end listeners. */
  get inBatch(): boolean {
    return (this.running && !this.ending) || this.batching;
  }

  /**
   * Announces that the caller queues operations now and calls `run` after the last one. What is queued outside
   * of a batch, by a timer or a promise, is started by itself before the event loop goes on.
   */
  beginBatch(): void {
    // Within an owner the outer call of `run` goes on; that of this batch will do nothing, and end nothing.
    if (!this.running) this.batching = true;
  }

  /**
   * Starts what is queued and dispatches what completes at once, until nothing is left to start; then the
   * batch-end listeners are called. Within an owner or a listener it does nothing: the outer call goes on.
   */
  run(): void {
    if (this.running) return;
    this.batching = false;
    this.loop(0);
  }

  /** For callers that spin: dispatches what has completed by now, not waiting for the event loop to find out. */
  poll(): void {
    if (!this.running && this.inFlight > 0) this.loop(this.raw.reap());
  }

  /**
   * Asks for an early end of all operations of `owner`; each still completes exactly once, with -ECANCELED or
   * its result, by the next `run` or later.
   */
  cancel(owner: IoOwner): void {
    for (let row = 0; row < this.table.count; row++) {
      const slot = this.table.slotOf(row);
      const staged = slot < this.depth ? this.owners[slot] : this.copyOwners[row];
      if (staged === owner) this.table.cancel(row);
    }
    for (const { waiting } of this.listed) waiting.cancel(owner);
    for (let slot = 0; slot < this.depth; slot++) {
      if (this.owners[slot] === owner) this.raw.cancel(slot);
    }
  }

  addBatchEndListener(listener: BatchEndListener): void {
    this.listeners.push(listener);
  }

  removeBatchEndListener(listener: BatchEndListener): void {
    const index = this.listeners.indexOf(listener);
    if (index >= 0) this.listeners.splice(index, 1);
  }

  /** Resolves when no operation is queued or running. */
  drain(): Promise<void> {
    this.run();
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.idleCallbacks.push(resolve));
  }

  /** Frees ring and threads. Throws while operations run: `drain` first. */
  close(): void {
    clearImmediate(this.nextTurn);
    this.raw.close();
  }

  private queue(
    kind: IoKind,
    file: number,
    flags: number,
    offset: number,
    length: number,
    segments: Segments | undefined,
    segmentsOffset: number,
    owner: IoOwner,
  ): void {
    if (!this.running && !this.batching && !this.runScheduled) {
      this.runScheduled = true;
      queueMicrotask(this.scheduledRun);
    }
    const share = kind >= FIRST_RAM_KIND ? this.ramShare : this.shareOf(file);
    const waits = share.waiting.count > 0;
    if (waits || !this.stage(share, kind, file, flags, offset, length, segments, segmentsOffset, owner)) {
      share.waiting.add(kind, file, flags, offset, length, segments, segmentsOffset, owner);
      this.waitingCount++;
      if (!share.listed) {
        share.listed = true;
        this.listed.push(share);
      }
    }
  }

  private shareOf(file: number): FileShare {
    if (file === this.lastFile) return this.lastShare;
    let share = this.shares.get(file);
    if (share === undefined) {
      share = new FileShare();
      this.shares.set(file, share);
    }
    this.lastFile = file;
    this.lastShare = share;
    return share;
  }

  /** Makes a row of the submission table; false when a slot or room for its vectors is missing. */
  private stage(
    share: FileShare,
    kind: IoKind,
    file: number,
    flags: number,
    offset: number,
    length: number,
    segments: Segments | undefined,
    segmentsOffset: number,
    owner: IoOwner,
  ): boolean {
    const { table, depth, freeCount } = this;
    const copy = share === this.ramShare;
    let slot: number;
    if (copy) {
      // It has completed when its batch was submitted: nothing but its row is to be had.
      if (table.count >= COPIES) return false;
      slot = depth + table.count;
    } else {
      if (freeCount === 0) return false;
      if (kind !== IoKind.CANCELLED && !share.admits(freeCount, depth)) return false;
      slot = this.freeSlots[freeCount - 1];
    }
    if (!table.add(kind, slot, file, flags, offset, length, segments, segmentsOffset)) return false;
    if (copy) {
      this.copyOwners[slot - depth] = owner;
      this.copies++;
      return true;
    }
    this.freeCount--;
    this.owners[slot] = owner;
    this.slotShares[slot] = share;
    share.running++;
    return true;
  }

  /** Dispatches `count` completions and all that follows from them. */
  private loop(count: number): void {
    this.running = true;
    try {
      for (let round = 0; ; round++) {
        this.dispatch(count);
        this.stageWaiting();
        if (this.table.count > 0 && round < ROUNDS_PER_TURN) {
          count = this.submit();
          continue;
        }
        this.endBatch();
        if (this.table.count === 0) break;
        if (round >= ROUNDS_PER_TURN) {
          this.nextTurn ??= setImmediate(this.takeTurn);
          break;
        }
        count = 0;
      }
    } finally {
      this.running = false;
    }
    if (this.inFlight === 0 && this.idleCallbacks.length > 0) {
      for (const callback of this.idleCallbacks.splice(0)) callback();
    }
  }

  private readonly scheduledRun = (): void => {
    this.runScheduled = false;
    if (!this.batching) this.run();
  };

  private readonly takeTurn = (): void => {
    this.nextTurn = undefined;
    this.run();
  };

  private submit(): number {
    const { copyOwners } = this;
    this.copyOwners = this.submittedOwners;
    this.submittedOwners = copyOwners;
    return this.raw.submit(this.table.take());
  }

  private dispatch(count: number): void {
    const { completions, owners, slotShares, submittedOwners, depth } = this;
    for (let i = 0; i < count; i++) {
      const slot = completions[i * IoColumns.COMPLETION];
      let owner: IoOwner;
      if (slot >= depth) {
        owner = submittedOwners[slot - depth]!;
        submittedOwners[slot - depth] = undefined;
        this.copies--;
      } else {
        owner = owners[slot]!;
        owners[slot] = undefined;
        slotShares[slot]!.running--;
        this.freeSlots[this.freeCount++] = slot;
      }
      try {
        owner.ioCompleted(completions[i * IoColumns.COMPLETION + 1]);
      } catch (error) {
        this.defect(error);
      }
    }
  }

  private stageWaiting(): void {
    const { listed } = this;
    // The usual case; to set the length of an array is a call into V8, whatever it was.
    if (listed.length === 0) return;
    let kept = 0;
    for (let i = 0; i < listed.length; i++) {
      const share = listed[i];
      this.stageShare(share);
      share.listed = share.waiting.count > 0;
      if (share.listed) listed[kept++] = share;
    }
    listed.length = kept;
  }

  private stageShare(share: FileShare): void {
    const { waiting } = share;
    while (waiting.count > 0) {
      const at = waiting.first;
      const staged = this.stage(
        share,
        waiting.kinds[at],
        waiting.files[at],
        waiting.flags[at],
        waiting.offsets[at],
        waiting.lengths[at],
        waiting.segments[at],
        waiting.segmentsOffsets[at],
        waiting.owners[at]!,
      );
      if (!staged) return;
      waiting.removeFirst();
      this.waitingCount--;
    }
  }

  private endBatch(): void {
    this.ending = true;
    const { listeners } = this;
    for (let i = 0; i < listeners.length; i++) {
      try {
        listeners[i].batchEnded();
      } catch (error) {
        this.defect(error);
      }
    }
    this.ending = false;
  }
}

/** Where no caller can catch it, nor lose the rest of the batch by it. */
function rethrowLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
