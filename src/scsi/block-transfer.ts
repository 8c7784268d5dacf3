/**
 * Blocks on their way between an initiator and a command's own buffers, with or without protection information:
 * how much of it there is per block, where it stands, and who checks it.
 */
import type { BlockDevice } from './block-device.ts';
import type { Verdict } from './medium.ts';
import {
  checkProtection,
  type ExpectedTags,
  PI_LENGTH,
  type ProtectedBlocks,
  type ProtectionChecks,
  repeatProtection,
} from './protection-information.ts';
import type { SegmentList } from './segment-list.ts';
import type { Task } from './task.ts';

export class BlockTransfer {
  /** Whether protection information travels with the blocks: the protect field is not 000b. */
  readonly carriesProtection: boolean;
  readonly checks: ProtectionChecks;
  readonly expected: ExpectedTags;
  /** Bytes per block, with its protection information behind it: how SBC-3 counts in a buffer. */
  readonly stride: number;
  /** Bytes per block in `dataOut` or `dataIn`: without what the transport keeps apart. */
  readonly dataStride: number;
  private readonly task: Task;
  private readonly device: BlockDevice;

  constructor(
    task: Task,
    device: BlockDevice,
    carriesProtection: boolean,
    checks: ProtectionChecks,
    expected: ExpectedTags,
  ) {
    this.task = task;
    this.device = device;
    this.carriesProtection = carriesProtection;
    this.checks = checks;
    this.expected = expected;
    this.stride = device.blockSize + (carriesProtection ? PI_LENGTH : 0);
    const apart = task.protectionOut.byteLength > 0 || task.protectionIn.byteLength > 0;
    this.dataStride = apart ? device.blockSize : this.stride;
  }

  /** Whole blocks that the initiator offers to send. */
  get blocksOut(): number {
    return this.wholeBlocks(this.task.dataOut, this.task.protectionOut);
  }

  /** Whole blocks that the initiator offers to take. */
  get blocksIn(): number {
    return this.wholeBlocks(this.task.dataIn, this.task.protectionIn);
  }

  /** Whether the initiator sends `blocks` blocks and not a byte more or less. */
  sendsExactly(blocks: number): boolean {
    const { dataOut, protectionOut } = this.task;
    if (dataOut.byteLength !== blocks * this.dataStride) return false;
    return this.dataStride === this.stride || protectionOut.byteLength === blocks * PI_LENGTH;
  }

  private wholeBlocks(data: SegmentList, protection: SegmentList): number {
    const blocks = Math.floor(data.byteLength / this.dataStride);
    if (this.dataStride === this.stride) return blocks;
    return Math.min(blocks, Math.floor(protection.byteLength / PI_LENGTH));
  }

  /** Buffers for `blocks` blocks; `data` when they lie somewhere already. */
  buffers(
    blocks: number,
    data: Uint8Array = new Uint8Array(blocks * this.device.blockSize),
  ): ProtectedBlocks {
    const tuples = new Uint8Array(this.device.protection.type === 0 ? 0 : blocks * PI_LENGTH);
    return { data, tuples, blockSize: this.device.blockSize };
  }

  /** Copies `count` blocks, from block `first` of the Data-Out buffer on, to `into`. */
  take(first: number, count: number, into: ProtectedBlocks): void {
    const { task, stride, dataStride } = this;
    const { data, tuples, blockSize } = into;
    task.transferred += count * dataStride;
    if (dataStride === blockSize) {
      this.copyOut(task.dataOut, data, 0, count * blockSize, first * blockSize);
      if (this.carriesProtection) {
        this.copyOut(task.protectionOut, tuples, 0, count * PI_LENGTH, first * PI_LENGTH);
      }
      return;
    }
    for (let i = 0; i < count; i++) {
      const position = (first + i) * stride;
      this.copyOut(task.dataOut, data, i * blockSize, blockSize, position);
      this.copyOut(task.dataOut, tuples, i * PI_LENGTH, PI_LENGTH, position + blockSize);
    }
  }

  /** Copies `count` blocks to the Data-In buffer, from block `first` of it on. */
  give(first: number, count: number, from: ProtectedBlocks): void {
    const { task, stride, dataStride } = this;
    const { data, tuples, blockSize } = from;
    task.transferred += count * dataStride;
    if (dataStride === blockSize) {
      this.copyIn(task.dataIn, data, 0, count * blockSize, first * blockSize);
      if (this.carriesProtection) {
        this.copyIn(task.protectionIn, tuples, 0, count * PI_LENGTH, first * PI_LENGTH);
      }
      return;
    }
    for (let i = 0; i < count; i++) {
      const position = (first + i) * stride;
      this.copyIn(task.dataIn, data, i * blockSize, blockSize, position);
      this.copyIn(task.dataIn, tuples, i * PI_LENGTH, PI_LENGTH, position + blockSize);
    }
  }

  /**
   * Checks `count` blocks as the protect field asks, the first being block `index` of the command. `stored`: they
   * come from the medium, where a tag may turn the checks of its block off.
   */
  check(blocks: ProtectedBlocks, count: number, index: number, stored: boolean): Verdict | undefined {
    const { type } = this.device.protection;
    if (type === 0) return undefined;
    const lba = this.task.lba + index;
    return checkProtection(blocks, count, lba, index, type, this.checks, this.expected, stored);
  }

  /** Buffers for `blocks` blocks that are all like the one in the Data-Out buffer, data and tags. */
  repeated(one: ProtectedBlocks, blocks: number): ProtectedBlocks {
    const buffers = this.buffers(blocks);
    this.repeatData(one, buffers, blocks);
    this.repeatTags(one, buffers, blocks, 0);
    return buffers;
  }

  /** Sets the data of the first `count` blocks. */
  repeatData(one: ProtectedBlocks, { data }: ProtectedBlocks, count: number): void {
    for (let i = 0; i < count; i++) data.set(one.data, i * one.blockSize);
  }

  /** Sets the tags of `count` blocks, the first being block `index` of the command: types 1 and 2 count up. */
  repeatTags(one: ProtectedBlocks, buffers: ProtectedBlocks, count: number, index: number): void {
    const { type } = this.device.protection;
    if (type !== 0) repeatProtection(one.tuples, buffers.tuples, count, index, type);
  }

  private copyOut(list: SegmentList, into: Uint8Array, at: number, length: number, position: number): void {
    const { memory } = this.device.environment;
    list.eachPart(position, length, (region, offset, done, part) => {
      memory.read(region, offset, into, at + done, part);
    });
  }

  private copyIn(list: SegmentList, from: Uint8Array, at: number, length: number, position: number): void {
    const { memory } = this.device.environment;
    list.eachPart(position, length, (region, offset, done, part) => {
      memory.write(region, offset, from, at + done, part);
    });
  }
}
