/** Memory for tests of the core: each region is a plain Uint8Array, so the core runs without the addon. */
import type { Memory, Scratch } from '../../src/scsi/environment.ts';

export class HeapMemory implements Memory {
  private readonly regions = new Map<number, Uint8Array>();
  private nextRegion = 0;
  /** Scratch buffers not given back: a leak when it is not 0 at a test's end. */
  outstanding = 0;
  /** Bytes in them, now and at any time. */
  outstandingBytes = 0;
  mostBytes = 0;

  /** The bytes of a region, for backstores of tests. */
  bytes(region: number): Uint8Array {
    return this.regions.get(region)!;
  }

  read(region: number, offset: number, into: Uint8Array, at: number, length: number): void {
    into.set(this.range(region, offset, length), at);
  }

  write(region: number, offset: number, from: Uint8Array, at: number, length: number): void {
    this.range(region, offset, length).set(from.subarray(at, at + length));
  }

  allocate(length: number): Scratch {
    this.outstanding++;
    this.outstandingBytes += length;
    this.mostBytes = Math.max(this.mostBytes, this.outstandingBytes);
    const bytes = new Uint8Array(length).fill(0xdb);
    const region = this.nextRegion++;
    this.regions.set(region, bytes);
    return { region, offset: 0, length, bytes };
  }

  release(scratch: Scratch): void {
    this.outstanding--;
    this.outstandingBytes -= scratch.length;
    this.regions.delete(scratch.region);
  }

  private range(region: number, offset: number, length: number): Uint8Array {
    const bytes = this.regions.get(region);
    if (bytes === undefined || offset < 0 || offset + length > bytes.length) {
      throw new RangeError(`region ${region}: ${offset}+${length} is out of range`);
    }
    return bytes.subarray(offset, offset + length);
  }
}
