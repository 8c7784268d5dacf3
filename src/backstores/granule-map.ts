/** Which granules of a thin backstore in memory hold data: one bit each, for GET LBA STATUS. */

const ALL_MAPPED = 0xff;

export class GranuleMap {
  private readonly byteLength: number;
  /** Bytes. */
  private readonly granule: number;
  private readonly bits: Uint8Array;

  constructor(byteLength: number, granule: number) {
    this.byteLength = byteLength;
    this.granule = granule;
    this.bits = new Uint8Array(Math.ceil(byteLength / granule / 8));
  }

  /** `length` bytes from `offset` were written: every granule that they touch is mapped. */
  map(offset: number, length: number): void {
    const end = Math.ceil((offset + length) / this.granule);
    for (let i = Math.floor(offset / this.granule); i < end; i++) this.bits[i >>> 3] |= 1 << (i & 7);
  }

  /** `length` bytes from `offset` were given back: only granules that lie wholly inside are unmapped. */
  unmap(offset: number, length: number): void {
    const last = offset + length === this.byteLength ? Math.ceil : Math.floor;
    const end = last((offset + length) / this.granule);
    for (let i = Math.ceil(offset / this.granule); i < end; i++) this.bits[i >>> 3] &= ~(1 << (i & 7));
  }

  /** Whether the byte at `offset` is mapped, and up to which offset (exclusive) that holds. */
  extent(offset: number): { mapped: boolean; end: number } {
    const { bits, granule, byteLength } = this;
    let i = Math.floor(offset / granule);
    const mapped = this.isMapped(i);
    const whole = mapped ? ALL_MAPPED : 0;
    const end = Math.ceil(byteLength / granule);
    for (i++; i < end && this.isMapped(i) === mapped; i++) {
      // Eight at a time over long runs.
      while ((i & 7) === 0 && i + 8 <= end && bits[i >>> 3] === whole) i += 8;
      if (i >= end || this.isMapped(i) !== mapped) break;
    }
    return { mapped, end: Math.min(i * granule, byteLength) };
  }

  private isMapped(i: number): boolean {
    return (this.bits[i >>> 3] & (1 << (i & 7))) !== 0;
  }
}
