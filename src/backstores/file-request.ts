/**
 * One operation on a file on its way through the io engine. Most take one step; a few take more (zeroes where
 * the filesystem cannot make them, unmap with FUA, buffers that O_DIRECT cannot use). Pooled.
 */
import { constants } from 'node:os';
import { IoFlag } from '../native/engine-spec.ts';
import type { IoOwner } from '../native/io-engine.ts';
import { type BackstoreOperation, OperationKind, Outcome } from '../scsi/backstore.ts';
import type { Scratch } from '../scsi/environment.ts';
import { SegmentList } from '../scsi/segment-list.ts';
import type { BounceUser } from './bounce-memory.ts';
import type { FileBackstore } from './file-backstore.ts';
import { outcomeOf } from './outcome.ts';

const { EAGAIN, EBUSY, ECANCELED, EDQUOT, EFAULT, EINTR, EINVAL, ENOSPC, ENOTSUP, EOPNOTSUPP } =
  constants.errno;
const ZERO_CHUNK = 1 << 20;

const Step = {
  /** The operation itself; its end is the end. */
  DIRECT: 0,
  /** Making a hole or zeroes; FUA may ask for a sync after it. */
  ALLOCATE: 1,
  /** Writing zeroes chunk by chunk, where the filesystem has no call for it. */
  ZERO_CHUNK: 2,
  SYNC: 3,
  /** A write with FUA found no space: once more without, to learn whether it was the write or the sync. */
  WITHOUT_FUA: 4,
  /** A transfer of several blocks failed: parts of it are tried again, to learn which block it was. */
  SEARCH: 5,
  /** A write of the disk that syncs every write: its data is in the page cache next, and then synced. */
  WRITE_AND_SYNC: 6,
} as const;

export class FileRequest implements IoOwner, BounceUser {
  private readonly backstore: FileBackstore;
  private operation: BackstoreOperation | undefined = undefined;
  private step: (typeof Step)[keyof typeof Step] = Step.DIRECT;
  /** Bytes done by earlier steps. */
  private done = 0;
  private chunk = 0;
  /** While searching: bytes from the start within which something failed. */
  private badEnd = 0;
  /** Why the write with FUA failed, an errno. */
  private failure = 0;
  private bounce: Scratch | undefined = undefined;
  private readonly bounceSegments = new SegmentList(1);

  constructor(backstore: FileBackstore) {
    this.backstore = backstore;
  }

  start(operation: BackstoreOperation): void {
    this.operation = operation;
    this.done = 0;
    switch (operation.kind) {
      case OperationKind.READ:
      case OperationKind.WRITE:
        this.transfer(operation);
        return;
      case OperationKind.FLUSH:
        this.sync();
        return;
      case OperationKind.UNMAP:
        this.step = Step.ALLOCATE;
        this.backstore.engine.punchHole(this.backstore.fd, operation.offset, operation.length, this);
        return;
      case OperationKind.WRITE_ZEROES:
        this.step = Step.ALLOCATE;
        if (this.backstore.zeroRangeWorks) {
          this.backstore.engine.zeroRange(this.backstore.fd, operation.offset, operation.length, this);
        } else this.zeroNextChunk();
        return;
      default:
        this.finish(Outcome.GOOD, operation.length);
    }
  }

  cancel(): void {
    if (this.backstore.bounces.forget(this)) this.finish(Outcome.CANCELLED, 0);
    else this.backstore.engine.cancel(this);
  }

  /** Bytes of the operation. */
  get length(): number {
    return this.operation!.length;
  }

  isFor(operation: BackstoreOperation): boolean {
    return this.operation === operation;
  }

  ioCompleted(result: number): void {
    const operation = this.operation!;
    switch (this.step) {
      case Step.DIRECT:
        this.transferred(result);
        return;
      case Step.ALLOCATE:
        if (result === -EOPNOTSUPP || result === -ENOTSUP) this.emulate(operation);
        else if (result < 0) this.finish(outcomeOf(-result), 0);
        else this.syncIfAsked(operation);
        return;
      case Step.ZERO_CHUNK:
        if (result <= 0) {
          this.finish(result === 0 ? Outcome.GONE : outcomeOf(-result), this.done);
          return;
        }
        this.done += result;
        if (this.done < operation.length) this.zeroNextChunk();
        else this.syncIfAsked(operation);
        return;
      case Step.SYNC:
        this.synced(operation, result);
        return;
      case Step.WRITE_AND_SYNC:
        if (result === operation.length) this.sync();
        else if (result < 0) this.search(operation.length, -result);
        else this.finish(Outcome.GONE, result);
        return;
      case Step.WITHOUT_FUA:
        // There is space after all: what failed was the sync of this or of earlier writes.
        if (result === operation.length) this.backstore.syncFailed(this.failure);
        this.finish(outcomeOf(this.failure), 0);
        return;
      case Step.SEARCH:
        this.searched(result);
        return;
    }
  }

  private transfer(operation: BackstoreOperation): void {
    const { backstore } = this;
    const { kind, offset, length, segments, segmentsOffset } = operation;
    if (operation.forceUnitAccess && kind === OperationKind.WRITE && backstore.syncsEveryWrite) {
      const { engine, fd, transferFlags } = backstore;
      this.step = Step.WRITE_AND_SYNC;
      engine.write(fd, offset, length, segments!, segmentsOffset, transferFlags, this);
    } else if (backstore.needsBounce(segments!, segmentsOffset, length)) backstore.bounces.ask(this);
    else this.move(operation, segments!, segmentsOffset);
  }

  /** All of the operation's data, in one step. */
  private move(operation: BackstoreOperation, segments: SegmentList, segmentsOffset: number): void {
    const { engine, fd, transferFlags } = this.backstore;
    const { kind, offset, length, forceUnitAccess } = operation;
    this.step = Step.DIRECT;
    if (kind === OperationKind.READ) {
      engine.read(fd, offset, length, segments, segmentsOffset, transferFlags, this);
      return;
    }
    const flags = forceUnitAccess ? transferFlags | IoFlag.FUA : transferFlags;
    engine.write(fd, offset, length, segments, segmentsOffset, flags, this);
  }

  /** O_DIRECT with buffers that are not aligned: firmware and hand-made requests; rare enough to copy. */
  bounceGranted(bounce: Scratch | undefined): void {
    if (bounce === undefined) {
      // Out of memory: the initiator tries again.
      this.finish(Outcome.BUSY, 0);
      return;
    }
    const operation = this.operation!;
    this.bounce = bounce;
    this.bounceSegments.clear();
    this.bounceSegments.add(bounce.region, bounce.offset, operation.length);
    if (operation.kind === OperationKind.WRITE) this.copyIn(operation);
    this.move(operation, this.bounceSegments, 0);
  }

  private copyIn(operation: BackstoreOperation): void {
    operation.segments!.eachPart(operation.segmentsOffset, operation.length, (region, offset, at, part) =>
      this.backstore.memory.read(region, offset, this.bounce!.bytes, at, part),
    );
  }

  private copyOut(operation: BackstoreOperation, length: number): void {
    operation.segments!.eachPart(operation.segmentsOffset, length, (region, offset, at, part) =>
      this.backstore.memory.write(region, offset, this.bounce!.bytes, at, part),
    );
  }

  /** A short count means that the file ended: somebody cut it. */
  private transferred(result: number): void {
    const { length, kind, forceUnitAccess } = this.operation!;
    if (result === length) this.finish(Outcome.GOOD, length);
    else if (result >= 0) this.finish(Outcome.GONE, result);
    else if (kind === OperationKind.WRITE && forceUnitAccess) this.forcedWriteFailed(-result);
    else this.search(length, -result);
  }

  /**
   * The system tells that a transfer failed, and not where; initiators want to know, and read on behind it. So halves
   * are tried until one block is left: it is the first one that cannot be had.
   */
  private search(length: number, errno: number): void {
    this.failure = errno;
    this.badEnd = length;
    this.searchOn();
  }

  private searchOn(): void {
    const { engine, fd, transferFlags, blockSize } = this.backstore;
    const { kind, offset, segments, segmentsOffset } = this.operation!;
    const { done } = this;
    const outcome = outcomeOf(this.failure);
    const blocks = (this.badEnd - done) / blockSize;
    if (outcome !== Outcome.MEDIUM_ERROR || blocks <= 1) {
      this.finish(outcome, done);
      return;
    }
    this.step = Step.SEARCH;
    this.chunk = Math.ceil(blocks / 2) * blockSize;
    const direct = this.bounce === undefined;
    const list = direct ? segments! : this.bounceSegments;
    const at = (direct ? segmentsOffset : 0) + done;
    if (kind === OperationKind.READ)
      engine.read(fd, offset + done, this.chunk, list, at, transferFlags, this);
    else engine.write(fd, offset + done, this.chunk, list, at, transferFlags, this);
  }

  private searched(result: number): void {
    if (result === this.chunk) this.done += this.chunk;
    else if (result >= 0) {
      this.finish(Outcome.GONE, this.done + result);
      return;
    } else {
      this.failure = -result;
      this.badEnd = this.done + this.chunk;
    }
    this.searchOn();
  }

  /** A write with FUA syncs as well, and then takes the one report of what earlier writes lost. */
  private forcedWriteFailed(errno: number): void {
    if (errno === ENOSPC || errno === EDQUOT) {
      this.failure = errno;
      this.writeWithoutFua(this.operation!);
      return;
    }
    if (!isOfMemory(errno) && !isInterruption(errno)) this.backstore.syncFailed(errno);
    this.finish(outcomeOf(errno), 0);
  }

  private writeWithoutFua({ offset, length, segments, segmentsOffset }: BackstoreOperation): void {
    const { engine, fd, transferFlags } = this.backstore;
    this.step = Step.WITHOUT_FUA;
    if (this.bounce === undefined) {
      engine.write(fd, offset, length, segments!, segmentsOffset, transferFlags, this);
    } else {
      engine.write(fd, offset, length, this.bounceSegments, 0, transferFlags, this);
    }
  }

  /** The filesystem knows neither holes nor zeroed ranges. */
  private emulate(operation: BackstoreOperation): void {
    if (operation.kind === OperationKind.WRITE_ZEROES) this.backstore.zeroRangeWorks = false;
    this.zeroNextChunk();
  }

  private zeroNextChunk(): void {
    const operation = this.operation!;
    const { engine, fd, transferFlags } = this.backstore;
    const zeroes = this.backstore.zeroes(ZERO_CHUNK);
    if (zeroes === undefined) {
      this.finish(Outcome.BUSY, this.done);
      return;
    }
    this.step = Step.ZERO_CHUNK;
    this.chunk = Math.min(ZERO_CHUNK, operation.length - this.done);
    engine.write(fd, operation.offset + this.done, this.chunk, zeroes, 0, transferFlags, this);
  }

  private syncIfAsked(operation: BackstoreOperation): void {
    if (operation.forceUnitAccess) this.sync();
    else this.finish(Outcome.GOOD, operation.length);
  }

  private sync(): void {
    const failure = this.backstore.failedSync;
    if (failure !== 0) {
      this.finish(lossOf(failure), 0);
      return;
    }
    this.step = Step.SYNC;
    this.backstore.engine.fsync(this.backstore.fd, this);
  }

  /** Of several syncs at a time the kernel tells only one that data was lost: the others failed with it. */
  private synced(operation: BackstoreOperation, result: number): void {
    const { backstore } = this;
    if (result < 0 && !isInterruption(-result)) backstore.syncFailed(-result);
    if (backstore.failedSync !== 0) this.finish(lossOf(result < 0 ? -result : backstore.failedSync), 0);
    else if (result < 0) this.finish(outcomeOf(-result), 0);
    else this.finish(Outcome.GOOD, operation.length);
  }

  private finish(outcome: Outcome, transferred: number): void {
    const operation = this.operation!;
    this.operation = undefined;
    if (this.bounce !== undefined) {
      // Of a read that failed as well: initiators take what stands before the block that is told to be bad.
      if (operation.kind === OperationKind.READ && transferred > 0) this.copyOut(operation, transferred);
      this.backstore.bounces.giveBack(this.bounce);
      this.bounce = undefined;
    }
    this.backstore.release(this);
    operation.finish(outcome, transferred);
  }
}

/** An abort, or a kernel that took no request: a later sync does what this one left. */
function isInterruption(errno: number): boolean {
  return errno === ECANCELED || errno === EINTR || errno === EAGAIN || errno === EBUSY;
}

/** The initiator's memory is gone, or in more pieces than can be had: that concerns nobody else. */
function isOfMemory(errno: number): boolean {
  return errno === EFAULT || errno === EINVAL;
}

/** What a sync failed with for good is no reason to try it again and again. */
function lossOf(errno: number): Outcome {
  const outcome = outcomeOf(errno);
  return outcome === Outcome.BUSY ? Outcome.MEDIUM_ERROR : outcome;
}
