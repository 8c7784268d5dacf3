/**
 * A disk as a file: reads and writes of any bytes, holes, and where they are. Whole blocks go straight between the
 * caller's memory and the disk; what begins or ends inside a block is read first.
 */
import type { Scratch } from '../../scsi/environment.ts';
import { BlockError } from '../loopback/block-error.ts';
import type { BlockInitiator } from '../loopback/block-initiator.ts';
import { BlockKind, type BlockRequest } from '../loopback/block-request.ts';
import { WriteGate } from './write-gate.ts';

/** Calls back with an error number, 0 for none. */
export type Done = (error: number) => void;

/** Somebody may want to end what he started. */
export interface Abortable {
  running: BlockRequest | undefined;
}

export class DiskFile {
  readonly device: BlockInitiator;
  private readonly gate = new WriteGate();

  constructor(device: BlockInitiator) {
    this.device = device;
  }

  /** Bytes. */
  get size(): number {
    return this.device.geometry.byteLength;
  }

  /**
   * Reads the blocks that hold [offset, offset + length) to `at` of the buffer. The bytes asked for begin
   * `offset % blockSize` further on.
   */
  read(caller: Abortable, offset: number, length: number, buffer: Scratch, at: number, done: Done): void {
    const start = this.floor(offset);
    this.run(caller, BlockKind.READ, start, this.ceil(offset + length) - start, done, { buffer, at });
  }

  /** Writes `length` bytes from `at` of the buffer. */
  write(
    caller: Abortable,
    offset: number,
    length: number,
    buffer: Scratch,
    at: number,
    durable: boolean,
    done: Done,
  ): void {
    const alone = !this.isWhole(offset) || !this.isWhole(length);
    this.gate.enter(alone, () => {
      const leave: Done = (error) => {
        this.gate.leave();
        done(error);
      };
      if (!alone) this.run(caller, BlockKind.WRITE, offset, length, leave, { buffer, at, durable });
      else this.writePart(caller, offset, buffer.bytes.subarray(at, at + length), durable).then(leave, leave);
    });
  }

  /** Makes a range read as zeroes; `release`: its space may be given back. */
  zero(caller: Abortable, offset: number, length: number, release: boolean, done: Done): void {
    const start = this.ceil(offset);
    const end = this.floor(offset + length);
    const alone = start !== offset || end !== offset + length;
    this.gate.enter(alone, () => {
      const leave: Done = (error) => {
        this.gate.leave();
        done(error);
      };
      const whole = { mayUnmap: release };
      if (!alone) this.run(caller, BlockKind.WRITE_ZEROES, offset, length, leave, whole);
      else this.zeroPart(caller, offset, offset + length, release).then(leave, leave);
    });
  }

  /** Everything that was written becomes durable. */
  flush(caller: Abortable, done: Done): void {
    this.run(caller, BlockKind.FLUSH, 0, 0, done, {});
  }

  /** The next byte from `offset` on that is data (or a hole); undefined when there is none. */
  async seek(offset: number, hole: boolean): Promise<number | undefined> {
    while (offset < this.size) {
      const extents = await this.device.extents(offset, this.size - offset);
      // What the disk cannot tell is data, up to its end.
      if (extents === undefined) return hole ? this.size : offset;
      for (const extent of extents) {
        if ((extent.hole && extent.zero) === hole) return extent.offset;
        offset = extent.offset + extent.length;
      }
    }
    // The end of a file counts as a hole.
    return hole ? this.size : undefined;
  }

  private floor(offset: number): number {
    return offset - (offset % this.device.geometry.blockSize);
  }

  private ceil(offset: number): number {
    return this.floor(offset + this.device.geometry.blockSize - 1);
  }

  private isWhole(bytes: number): boolean {
    return bytes % this.device.geometry.blockSize === 0;
  }

  private run(
    caller: Abortable,
    kind: BlockKind,
    offset: number,
    length: number,
    done: Done,
    { buffer, at = 0, durable = false, mayUnmap = false }: RunOptions,
  ): void {
    const { device } = this;
    const request = device.request();
    request.kind = kind;
    request.offset = offset;
    request.length = length;
    request.forceUnitAccess = durable;
    request.mayUnmap = mayUnmap;
    request.data.clear();
    if (buffer !== undefined) request.data.add(buffer.region, buffer.offset + at, length);
    request.owner = {
      blockRequestDone: ({ error }) => {
        caller.running = undefined;
        device.release(request);
        done(error);
      },
    };
    caller.running = request;
    request.start();
  }

  /** Reads the blocks around `data`, puts it in, and writes them. */
  private async writePart(
    caller: Abortable,
    offset: number,
    data: Uint8Array,
    durable: boolean,
  ): Promise<number> {
    const start = this.floor(offset);
    const length = this.ceil(offset + data.length) - start;
    const { memory } = this.device.environment;
    const buffer = memory.allocate(length);
    const step = (kind: BlockKind) =>
      new Promise<number>((resolve) => this.run(caller, kind, start, length, resolve, { buffer, durable }));
    try {
      const error = await step(BlockKind.READ);
      if (error !== BlockError.NONE) return error;
      buffer.bytes.set(data, offset - start);
      return await step(BlockKind.WRITE);
    } finally {
      memory.release(buffer);
    }
  }

  /** Zeroes what is left of whole blocks by writing, and the whole blocks as such. */
  private async zeroPart(caller: Abortable, offset: number, end: number, release: boolean): Promise<number> {
    const first = Math.min(end, this.ceil(offset));
    const last = Math.max(first, this.floor(end));
    const edges = [
      [offset, first],
      [last, end],
    ];
    for (const [from, to] of edges) {
      const error = to > from ? await this.writePart(caller, from, new Uint8Array(to - from), false) : 0;
      if (error !== BlockError.NONE) return error;
    }
    if (first === last) return BlockError.NONE;
    return new Promise((resolve) =>
      this.run(caller, BlockKind.WRITE_ZEROES, first, last - first, resolve, { mayUnmap: release }),
    );
  }
}

interface RunOptions {
  readonly buffer?: Scratch;
  readonly at?: number;
  readonly durable?: boolean;
  readonly mayUnmap?: boolean;
}
