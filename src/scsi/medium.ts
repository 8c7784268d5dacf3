/**
 * Block access in steps, for commands that read, look and write: each step is one backstore operation, awaited.
 * READ and WRITE do not come here; see commands/medium-access.ts for their path without promises.
 *
 * A step answers with what went wrong as a value, or undefined. It stops at the next step once its task is
 * aborted, so a long command ends soon after its task management function.
 */
import {
  type Backstore,
  BackstoreOperation,
  OperationKind,
  type OperationOwner,
  Outcome,
} from './backstore.ts';
import type { BlockDevice } from './block-device.ts';
import type { Scratch } from './environment.ts';
import { invert } from './protection.ts';
import {
  checkProtection,
  checksOf,
  defaultTags,
  generateProtection,
  PI_LENGTH,
  type ProtectedBlocks,
} from './protection-information.ts';
import { SegmentList } from './segment-list.ts';
import type { SenseDetail } from './sense.ts';
import { Sense, type SenseCode } from './sense-spec.ts';
import { Status } from './status-spec.ts';
import type { Task } from './task.ts';

/** How a command ends: a status, or CHECK CONDITION with this sense data. */
export type Verdict = Status | { readonly code: SenseCode; readonly detail?: SenseDetail };

/** Bytes moved by one step of a command that reads or writes through scratch memory. */
const CHUNK = 512 << 10;
/** Milliseconds after which a long command lets others have their turn: backstores in memory never make it wait. */
const TURN = 10;

const CHANGING: ReadonlySet<OperationKind> = new Set([
  OperationKind.WRITE,
  OperationKind.WRITE_ZEROES,
  OperationKind.UNMAP,
]);

export class Medium implements OperationOwner {
  readonly device: BlockDevice;
  private readonly task: Task | undefined;
  private readonly operation: BackstoreOperation;
  private readonly segments = new SegmentList(1);
  private readonly scratches: Scratch[] = [];
  private tupleBytes: Scratch | undefined = undefined;
  private pattern: { block: Uint8Array; blocks: number; scratch: Scratch } | undefined = undefined;
  private stepDone: (outcome: Outcome) => void = () => {};
  /** When this command's turn began, as `Environment.now`. */
  private turn: number;

  /** Without a task it works in the background, for commands that answered early (IMMED). */
  constructor(device: BlockDevice, task?: Task) {
    this.device = device;
    this.task = task;
    // The task's own operation, so that a task management function can cancel the step that runs.
    this.operation = task?.operation ?? new BackstoreOperation();
    this.turn = device.environment.now();
  }

  /** Blocks per step when `blocks` are to go through scratch memory. */
  chunkBlocks(blocks: number): number {
    return chunkBlocks(this.device, blocks);
  }

  /** Scratch memory of at least `blocks` blocks, given back by `releaseScratch`. */
  scratch(blocks: number): Scratch {
    const scratch = this.device.environment.memory.allocate(blocks * this.device.blockSize);
    this.scratches.push(scratch);
    return scratch;
  }

  releaseScratch(): void {
    this.pattern = undefined;
    this.tupleBytes = undefined;
    for (const scratch of this.scratches.splice(0)) this.device.environment.memory.release(scratch);
  }

  /** Reads to the start of `into`; on a medium with protection information, checks that as well. */
  async read(lba: number, blocks: number, into: Scratch): Promise<Verdict | undefined> {
    const { type } = this.device.protection;
    if (type === 0) return this.step(OperationKind.READ, lba, blocks, into);
    const protectedBlocks = this.protectedBlocks(into, blocks);
    const failure = await this.readProtected(lba, blocks, into, protectedBlocks.tuples);
    if (failure !== undefined) return failure;
    const checks = checksOf(0)!;
    return checkProtection(protectedBlocks, blocks, lba, 0, type, checks, defaultTags(type, lba), true);
  }

  /** Reads blocks and their protection information, unchecked. */
  async readProtected(
    lba: number,
    blocks: number,
    into: Scratch,
    tuples: Uint8Array,
  ): Promise<Verdict | undefined> {
    const failure = await this.step(OperationKind.READ, lba, blocks, into);
    if (failure !== undefined) return failure;
    const stored = this.tupleScratch(blocks);
    const tupleFailure = await this.protectionStep(OperationKind.READ, lba, blocks, stored);
    if (tupleFailure !== undefined) return tupleFailure;
    invert(stored.bytes, blocks * PI_LENGTH);
    tuples.set(stored.bytes.subarray(0, blocks * PI_LENGTH));
    return undefined;
  }

  /** Writes from the start of `from`, with protection information as given or, where the medium has it, made up. */
  async write(
    lba: number,
    blocks: number,
    from: Scratch,
    forceUnitAccess: boolean,
    tuples?: Uint8Array,
  ): Promise<Verdict | undefined> {
    const failure = await this.step(OperationKind.WRITE, lba, blocks, from, forceUnitAccess);
    const { type } = this.device.protection;
    if (failure !== undefined || type === 0) return failure;
    const protectedBlocks = this.protectedBlocks(from, blocks);
    if (tuples === undefined) generateProtection(protectedBlocks, blocks, lba, type);
    return this.writeProtection(lba, blocks, tuples ?? protectedBlocks.tuples, forceUnitAccess);
  }

  /** Makes blocks read as zeroes and stay mapped. */
  zero(lba: number, blocks: number): Promise<Verdict | undefined> {
    const { backstore, blockSize, protection } = this.device;
    if (backstore.capabilities.writeZeroes && protection.type === 0) {
      return this.step(OperationKind.WRITE_ZEROES, lba, blocks);
    }
    return this.fill(lba, blocks, new Uint8Array(blockSize));
  }

  /** Writes `block` to each of `blocks` blocks from `lba`. */
  async fill(lba: number, blocks: number, block: Uint8Array): Promise<Verdict | undefined> {
    const step = this.chunkBlocks(blocks);
    const scratch = this.repeated(block, step);
    for (let done = 0; done < blocks; done += step) {
      const failure = await this.write(lba + done, Math.min(step, blocks - done), scratch, false);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  /** Scratch memory full of copies of `block`, kept while one command asks for the same again. */
  private repeated(block: Uint8Array, blocks: number): Scratch {
    const { pattern } = this;
    if (pattern !== undefined && pattern.block === block && pattern.blocks >= blocks) return pattern.scratch;
    const scratch = this.scratch(blocks);
    for (let i = 0; i < blocks; i++) scratch.bytes.set(block, i * block.length);
    this.pattern = { block, blocks, scratch };
    return scratch;
  }

  /**
   * Copies blocks without their passing through memory, where the backings can do that; `from` and `length` in bytes.
   * False: copy them in another way, whatever was done already.
   */
  async copyFrom(source: BlockDevice, from: number, lba: number, length: number): Promise<boolean> {
    const { device } = this;
    const { backstore, protection, tokens, thresholds } = device;
    // Protection information would have to follow, and stable storage may be what GOOD promises.
    if (protection.type !== 0 || source.protection.type !== 0 || !device.writeCacheEnabled) return false;
    if (backstore.copyFrom === undefined) return false;
    if (tokens.live) tokens.changing(lba, length / device.blockSize);
    const copied = await backstore.copyFrom(source.backstore, from, lba * device.blockSize, length);
    if (copied && thresholds.armed) thresholds.wrote(length);
    return copied;
  }

  /** Unmaps blocks; their protection information becomes "do not check" (SBC-3 4.7.4.4). */
  async unmap(lba: number, blocks: number): Promise<Verdict | undefined> {
    const failure = await this.step(OperationKind.UNMAP, lba, blocks);
    return failure ?? (this.device.protection.type === 0 ? undefined : this.forgetProtection(lba, blocks));
  }

  /** Makes the protection information of blocks "do not check". */
  async forgetProtection(lba: number, blocks: number): Promise<Verdict | undefined> {
    const { capabilities } = this.device.protection.backstore!;
    if (capabilities.unmap && capabilities.unmapReadsZero) {
      return this.protectionStep(OperationKind.UNMAP, lba, blocks);
    }
    if (capabilities.writeZeroes) return this.protectionStep(OperationKind.WRITE_ZEROES, lba, blocks);
    const step = Math.min(blocks, CHUNK / PI_LENGTH);
    const unchecked = new Uint8Array(step * PI_LENGTH).fill(0xff);
    for (let done = 0; done < blocks; done += step) {
      const failure = await this.writeProtection(lba + done, Math.min(step, blocks - done), unchecked, false);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  private writeProtection(
    lba: number,
    blocks: number,
    tuples: Uint8Array,
    forceUnitAccess: boolean,
  ): Promise<Verdict | undefined> {
    const stored = this.tupleScratch(blocks);
    stored.bytes.set(tuples.subarray(0, blocks * PI_LENGTH));
    invert(stored.bytes, blocks * PI_LENGTH);
    return this.protectionStep(OperationKind.WRITE, lba, blocks, stored, forceUnitAccess);
  }

  prefetch(lba: number, blocks: number): Promise<Verdict | undefined> {
    return this.step(OperationKind.PREFETCH, lba, blocks);
  }

  /** Everything written so far reaches stable storage. */
  async flush(): Promise<Verdict | undefined> {
    const failure = await this.step(OperationKind.FLUSH, 0, this.device.blockCount);
    if (failure !== undefined || this.device.protection.type === 0) return failure;
    return this.protectionStep(OperationKind.FLUSH, 0, this.device.blockCount);
  }

  private step(
    kind: OperationKind,
    lba: number,
    blocks: number,
    data?: Scratch,
    forceUnitAccess = false,
  ): Promise<Verdict | undefined> {
    const { backstore, blockSize, tokens } = this.device;
    if (tokens.live && CHANGING.has(kind)) tokens.changing(lba, blocks);
    return this.perform(backstore, blockSize, kind, lba, blocks, data, forceUnitAccess);
  }

  private protectionStep(
    kind: OperationKind,
    lba: number,
    blocks: number,
    data?: Scratch,
    forceUnitAccess = false,
  ): Promise<Verdict | undefined> {
    const backstore = this.device.protection.backstore!;
    return this.perform(backstore, PI_LENGTH, kind, lba, blocks, data, forceUnitAccess);
  }

  /** One operation on `backstore`, which keeps `unit` bytes per logical block. */
  private async perform(
    backstore: Backstore,
    unit: number,
    kind: OperationKind,
    lba: number,
    blocks: number,
    data: Scratch | undefined,
    forceUnitAccess: boolean,
  ): Promise<Verdict | undefined> {
    if (this.task?.aborted) return Status.TASK_ABORTED;
    const { operation, segments } = this;
    operation.kind = kind;
    operation.offset = lba * unit;
    operation.length = blocks * unit;
    segments.clear();
    if (data !== undefined) segments.add(data.region, data.offset, operation.length);
    operation.segments = segments;
    operation.segmentsOffset = 0;
    operation.forceUnitAccess = forceUnitAccess || !this.device.writeCacheEnabled;
    operation.owner = this;
    const outcome = await new Promise<Outcome>((resolve) => {
      this.stepDone = resolve;
      operation.startOn(backstore);
    });
    const { statistics } = this.device;
    if (outcome !== Outcome.GOOD) {
      statistics.failed(operation, this.task?.row);
      return failureOf(operation, unit);
    }
    // Protection information is not the user's data.
    if (backstore === this.device.backstore) statistics.stepped(operation, this.task?.row);
    const { thresholds } = this.device;
    // Unmapping counts as well: it may end a shortage.
    if (thresholds.armed && kind !== OperationKind.READ) thresholds.wrote(operation.length);
    if (this.device.environment.now() - this.turn >= TURN) await this.giveWay();
    return this.task?.aborted ? Status.TASK_ABORTED : undefined;
  }

  private async giveWay(): Promise<void> {
    const { environment } = this.device;
    await new Promise<void>((resolve) => environment.after(0, resolve));
    this.turn = environment.now();
  }

  /** Scratch memory for protection information, kept as long as the medium is used. */
  private tupleScratch(blocks: number): Scratch {
    const length = blocks * PI_LENGTH;
    if (this.tupleBytes === undefined || this.tupleBytes.length < length) {
      this.tupleBytes = this.device.environment.memory.allocate(length);
      this.scratches.push(this.tupleBytes);
    }
    return this.tupleBytes;
  }

  private protectedBlocks(scratch: Scratch, blocks: number): ProtectedBlocks {
    const { blockSize } = this.device;
    return { data: scratch.bytes, tuples: new Uint8Array(blocks * PI_LENGTH), blockSize };
  }

  operationDone(operation: BackstoreOperation): void {
    this.stepDone(operation.outcome);
  }
}

function chunkBlocks({ blockSize }: BlockDevice, blocks: number): number {
  return Math.min(blocks, Math.max(1, CHUNK / blockSize));
}

/** Bytes of one buffer for `blocks` blocks that go through scratch memory chunk by chunk. */
export function chunkBytes(device: BlockDevice, blocks: number): number {
  return chunkBlocks(device, blocks) * device.blockSize;
}

/**
 * What a failed operation means to the initiator; the failing LBA goes into the information field, where there is one:
 * which of the cached blocks a flush lost is not known.
 */
export function failureOf(operation: BackstoreOperation, blockSize: number): Verdict {
  const flushing = operation.kind === OperationKind.FLUSH;
  const information = flushing
    ? undefined
    : Math.floor((operation.offset + operation.transferred) / blockSize);
  switch (operation.outcome) {
    case Outcome.NO_SPACE:
      return { code: Sense.SPACE_ALLOCATION_FAILED_WRITE_PROTECT, detail: { information } };
    case Outcome.WRITE_PROTECTED:
      return { code: Sense.WRITE_PROTECTED };
    case Outcome.BUSY:
      return Status.BUSY;
    case Outcome.CANCELLED:
      return Status.TASK_ABORTED;
    default: {
      const reading = operation.kind === OperationKind.READ;
      return { code: reading ? Sense.UNRECOVERED_READ_ERROR : Sense.WRITE_ERROR, detail: { information } };
    }
  }
}

/** Ends `task` with `verdict`. */
export function conclude(task: Task, verdict: Verdict): void {
  if (typeof verdict === 'number') task.finish(verdict);
  else task.fail(verdict.code, verdict.detail);
}
