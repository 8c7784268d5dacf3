/** Which blocks a load touches, and how. */

export interface Pattern {
  readonly name: string;
  /** Bytes per request, a multiple of 512. */
  readonly requestBytes: number;
  readonly sequential: boolean;
  /** Of 100 requests. */
  readonly readPercentage: number;
}

export const PATTERNS: readonly Pattern[] = [
  { name: '4k randread', requestBytes: 4096, sequential: false, readPercentage: 100 },
  { name: '4k randwrite', requestBytes: 4096, sequential: false, readPercentage: 0 },
  { name: '4k mixed 70/30', requestBytes: 4096, sequential: false, readPercentage: 70 },
  { name: '128k read', requestBytes: 131072, sequential: true, readPercentage: 100 },
  { name: '128k write', requestBytes: 131072, sequential: true, readPercentage: 0 },
];

/** Draws the requests of a pattern; allocates nothing. */
export class RequestSequence {
  private readonly pattern: Pattern;
  /** Requests of this size that the disk holds. */
  private readonly places: number;
  private place = 0;
  /** xorshift32 (Marsaglia 2003): the same sequence in every run. */
  private state = 0x9e3779b9 | 0;

  constructor(pattern: Pattern, diskBytes: number) {
    this.pattern = pattern;
    this.places = Math.floor(diskBytes / pattern.requestBytes);
    if (this.places < 1) throw new RangeError(`disk of ${diskBytes} bytes is smaller than one request`);
  }

  /** Offset of the next request in bytes. */
  nextOffset(): number {
    if (this.pattern.sequential) {
      this.place = this.place + 1 < this.places ? this.place + 1 : 0;
      return this.place * this.pattern.requestBytes;
    }
    return Math.floor(this.random() * this.places) * this.pattern.requestBytes;
  }

  nextIsRead(): boolean {
    const { readPercentage } = this.pattern;
    if (readPercentage === 100) return true;
    return readPercentage > 0 && this.random() * 100 < readPercentage;
  }

  /** 0 ≤ x < 1. */
  private random(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) / 0x1_0000_0000;
  }
}
