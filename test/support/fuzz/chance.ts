/** Chances that come again with the same seed: what fuzz targets decide by. */

/** Bytes that lead parsers astray more often than others. */
const EDGES = [0x00, 0x01, 0x02, 0x07, 0x08, 0x0f, 0x10, 0x18, 0x7f, 0x80, 0xff];

/** xorshift32. */
export class Chance {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }

  /** An integer from 0 to `bound - 1`. */
  below(bound: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % bound;
  }

  /** True once in `n`. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** Random bytes, one in four of them an edge. */
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => (this.oneIn(4) ? this.pick(EDGES) : this.below(256)));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}
