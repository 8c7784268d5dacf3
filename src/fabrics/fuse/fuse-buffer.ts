/**
 * The memory of one request: what the kernel wrote into it, and what it gets back. The data of a WRITE and of a
 * READ's answer lies at the same page-aligned place, so that a disk with O_DIRECT can use it as it is.
 */
import type { Memory, Scratch } from '../../scsi/environment.ts';
import { InHeader, OutHeader, TransferIn } from './fuse-spec.ts';

/** Bytes in one READ or WRITE. */
export const MAX_TRANSFER = 1 << 20;
/** A READ that begins and ends inside a block is widened by less than two of them. */
const ROOM_TO_WIDEN = 2 * 4096;
/** Where data begins: one page into the buffer. */
export const DATA = 4096;
/** Where a request goes, so that the data of a WRITE comes to lie at DATA. */
const REQUEST = DATA - InHeader.SIZE - TransferIn.SIZE;

export class FuseBuffer {
  readonly scratch: Scratch;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(memory: Memory) {
    this.scratch = memory.allocate(DATA + MAX_TRANSFER + ROOM_TO_WIDEN);
    this.bytes = this.scratch.bytes;
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }

  /** Calls `read` with the bytes for a request; returns its result. */
  fill(read: (into: Uint8Array, at: number, length: number) => number): number {
    return read(this.bytes, REQUEST, InHeader.SIZE + TransferIn.SIZE + MAX_TRANSFER);
  }

  header32(field: number): number {
    return this.view.getUint32(REQUEST + field, true);
  }

  /** A field of the structure behind the header. */
  argument32(field: number): number {
    return this.view.getUint32(REQUEST + InHeader.SIZE + field, true);
  }

  /** A 64-bit field; exact below 2^53, and larger than any disk above. */
  argument64(field: number): number {
    return this.argument32(field + 4) * 0x1_0000_0000 + this.argument32(field);
  }

  /** `length` bytes of answer at DATA, as zeroes: to be filled in. */
  answer(length: number): DataView {
    this.bytes.fill(0, DATA, DATA + length);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + DATA, length);
  }

  /**
   * Calls `write` with a whole answer: a header for request (`high`, `low`), then `length` bytes from `from` bytes
   * behind DATA.
   */
  send(
    high: number,
    low: number,
    error: number,
    from: number,
    length: number,
    write: (bytes: Uint8Array, at: number, length: number) => void,
  ): void {
    const at = DATA + from - OutHeader.SIZE;
    this.view.setUint32(at + OutHeader.LENGTH, OutHeader.SIZE + length, true);
    this.view.setInt32(at + OutHeader.ERROR, -error, true);
    this.view.setUint32(at + OutHeader.UNIQUE, low, true);
    this.view.setUint32(at + OutHeader.UNIQUE + 4, high, true);
    write(this.bytes, at, OutHeader.SIZE + length);
  }

  /** Bytes of data at DATA + `from`. */
  data(from: number, length: number): Uint8Array {
    return this.bytes.subarray(DATA + from, DATA + from + length);
  }
}
