/**
 * A scatter/gather list: where a task's data lies, as (region, offset, length) triples that only the fabric and
 * the backstore can resolve. The core passes lists on; it never learns what a region is.
 */

/** Of a triple: its numbers, and where they stand in it after the region. */
const NUMBERS = 3;
const OFFSET = 1;
const LENGTH = 2;

export class SegmentList {
  /**
   * Of each segment three numbers: its region, bytes from the start of the region, bytes. In one array, since each array
   * that is looked at costs a request some ten instructions.
   */
  triples: Float64Array;
  count = 0;
  /** Sum of all lengths, bytes. */
  byteLength = 0;

  constructor(capacity = 32) {
    this.triples = new Float64Array(capacity * NUMBERS);
  }

  get capacity(): number {
    return this.triples.length / NUMBERS;
  }

  regionAt(index: number): number {
    return this.triples[(index * NUMBERS) | 0] | 0;
  }

  /** Bytes from the start of the region. */
  offsetAt(index: number): number {
    return this.triples[(index * NUMBERS + OFFSET) | 0];
  }

  /** Bytes. */
  lengthAt(index: number): number {
    return this.triples[(index * NUMBERS + LENGTH) | 0];
  }

  clear(): void {
    this.count = 0;
    this.byteLength = 0;
  }

  /** Appends a segment; joins it to the last one when it continues it, since vectors cost more than bytes. */
  add(region: number, offset: number, length: number): void {
    const { count, triples } = this;
    if (count === 0) {
      triples[0] = region;
      triples[OFFSET] = offset;
      triples[LENGTH] = length;
      this.count = 1;
      this.byteLength = length;
      return;
    }
    this.byteLength += length;
    const at = (count * NUMBERS) | 0;
    if (triples[at - NUMBERS] === region && triples[at - 2] + triples[at - 1] === offset) {
      triples[at - 1] = triples[at - 1] + length;
      return;
    }
    if (at === triples.length) this.grow();
    const { triples: grown } = this;
    grown[at] = region;
    grown[at + OFFSET] = offset;
    grown[at + LENGTH] = length;
    this.count = count + 1;
  }

  /** Appends bytes [position, position + length) of `from`, as far as it has them. */
  addPart(from: SegmentList, position: number, length: number): void {
    const { count } = from;
    for (let i = 0; i < count && length > 0; i++) {
      const size = from.lengthAt(i);
      if (position >= size) {
        position -= size;
        continue;
      }
      const part = Math.min(size - position, length);
      this.add(from.regionAt(i), from.offsetAt(i) + position, part);
      length -= part;
      position = 0;
    }
  }

  /** Moves the first `length` bytes, which must be there, to the end of `to`. */
  moveFront(length: number, to: SegmentList): void {
    const { triples } = this;
    to.addPart(this, 0, length);
    let first = 0;
    this.byteLength -= length;
    while (length > 0) {
      const at = first * NUMBERS;
      const part = Math.min(triples[at + LENGTH], length);
      length -= part;
      triples[at + OFFSET] = triples[at + OFFSET] + part;
      triples[at + LENGTH] = triples[at + LENGTH] - part;
      if (triples[at + LENGTH] === 0) first++;
    }
    if (first === 0) return;
    triples.copyWithin(0, first * NUMBERS, this.count * NUMBERS);
    this.count -= first;
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
      const size = this.lengthAt(i);
      if (position >= size) {
        position -= size;
        continue;
      }
      const part = Math.min(size - position, length - at);
      visit(this.regionAt(i), this.offsetAt(i) + position, at, part);
      at += part;
      position = 0;
    }
  }

  private grow(): void {
    const triples = new Float64Array(this.triples.length * 2);
    triples.set(this.triples);
    this.triples = triples;
  }
}
