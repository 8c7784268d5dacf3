/**
 * A scatter/gather list: where a task's data lies, as (region, offset, length) triples that only the fabric and
 * the backstore can resolve. The core passes lists on; it never learns what a region is.
 */
export class SegmentList {
  regions: Int32Array;
  /** Bytes from the start of the region. */
  offsets: Float64Array;
  /** Bytes. */
  lengths: Float64Array;
  count = 0;
  /** Sum of all lengths, bytes. */
  byteLength = 0;

  constructor(capacity = 32) {
    this.regions = new Int32Array(capacity);
    this.offsets = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
  }

  clear(): void {
    this.count = 0;
    this.byteLength = 0;
  }

  /** Appends a segment; joins it to the last one when it continues it, since vectors cost more than bytes. */
  add(region: number, offset: number, length: number): void {
    const { count } = this;
    if (count === 0) {
      this.regions[0] = region;
      this.offsets[0] = offset;
      this.lengths[0] = length;
      this.count = 1;
      this.byteLength = length;
      return;
    }
    const last = count - 1;
    this.byteLength += length;
    if (this.regions[last] === region && this.offsets[last] + this.lengths[last] === offset) {
      this.lengths[last] = this.lengths[last] + length;
      return;
    }
    if (count === this.regions.length) this.grow();
    this.regions[count] = region;
    this.offsets[count] = offset;
    this.lengths[count] = length;
    this.count = count + 1;
  }

  /** Appends bytes [position, position + length) of `from`, as far as it has them. */
  addPart(from: SegmentList, position: number, length: number): void {
    const { regions, offsets, lengths, count } = from;
    for (let i = 0; i < count && length > 0; i++) {
      const size = lengths[i];
      if (position >= size) {
        position -= size;
        continue;
      }
      const part = Math.min(size - position, length);
      this.add(regions[i], offsets[i] + position, part);
      length -= part;
      position = 0;
    }
  }

  /** Moves the first `length` bytes, which must be there, to the end of `to`. */
  moveFront(length: number, to: SegmentList): void {
    const { regions, offsets, lengths } = this;
    to.addPart(this, 0, length);
    let first = 0;
    this.byteLength -= length;
    while (length > 0) {
      const part = Math.min(lengths[first], length);
      length -= part;
      offsets[first] = offsets[first] + part;
      lengths[first] = lengths[first] - part;
      if (lengths[first] === 0) first++;
    }
    if (first === 0) return;
    this.count -= first;
    regions.copyWithin(0, first, first + this.count);
    offsets.copyWithin(0, first, first + this.count);
    lengths.copyWithin(0, first, first + this.count);
  }

  /**
   * Calls `visit` for each piece of the byte range [position, position + length); `at` counts bytes from the
   * range's start. For cold paths: it takes a closure.
   */
  eachPart(
    position: number,
    length: number,
    visit: (region: number, offset: number, at: number, length: number) => void,
  ): void {
    let at = 0;
    for (let i = 0; i < this.count && at < length; i++) {
      const size = this.lengths[i];
      if (position >= size) {
        position -= size;
        continue;
      }
      const part = Math.min(size - position, length - at);
      visit(this.regions[i], this.offsets[i] + position, at, part);
      at += part;
      position = 0;
    }
  }

  private grow(): void {
    const capacity = this.regions.length * 2;
    const regions = new Int32Array(capacity);
    const offsets = new Float64Array(capacity);
    const lengths = new Float64Array(capacity);
    regions.set(this.regions);
    offsets.set(this.offsets);
    lengths.set(this.lengths);
    this.regions = regions;
    this.offsets = offsets;
    this.lengths = lengths;
  }
}
