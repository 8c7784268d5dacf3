/**
 * Latencies in a typed array, as HdrHistogram does it: buckets that double in width, each cut into 64, so that
 * every value is kept with an error below 1/64 and recording one allocates nothing.
 */

/** 2^6 buckets per doubling. */
const SUB_BITS = 6;
const SUB_BUCKETS = 1 << SUB_BITS;
/** Values are below 2^31 ns: 2.1 s; longer ones count as that. */
const MAX_VALUE = 0x7fff_ffff;
const BUCKETS = (31 - SUB_BITS + 1) * SUB_BUCKETS;

export class Histogram {
  private readonly counts = new Float64Array(BUCKETS);
  /** Values recorded. */
  count = 0;

  /** Records a value in nanoseconds; below 0 counts as 0. */
  record(nanoseconds: number): void {
    const value = nanoseconds > MAX_VALUE ? MAX_VALUE : nanoseconds < 0 ? 0 : nanoseconds | 0;
    this.counts[bucketOf(value)]++;
    this.count++;
  }

  clear(): void {
    this.counts.fill(0);
    this.count = 0;
  }

  /**
   * The smallest value, in nanoseconds, that at least `fraction` (0 to 1) of all values do not exceed: the middle
   * of its bucket. 0 when nothing was recorded.
   */
  percentile(fraction: number): number {
    const wanted = Math.max(1, Math.ceil(this.count * fraction));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.counts[bucket];
      if (seen >= wanted) return middleOf(bucket);
    }
    return 0;
  }

  mean(): number {
    let sum = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) sum += this.counts[bucket] * middleOf(bucket);
    return this.count === 0 ? 0 : sum / this.count;
  }
}

/** Values below 64 have a bucket each; above, the six bits after the highest one choose it. */
function bucketOf(value: number): number {
  if (value < SUB_BUCKETS) return value;
  const shift = 31 - SUB_BITS - Math.clz32(value);
  return (shift + 1) * SUB_BUCKETS + ((value >>> shift) & (SUB_BUCKETS - 1));
}

function middleOf(bucket: number): number {
  if (bucket < SUB_BUCKETS) return bucket;
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1;
  const lowest = (SUB_BUCKETS + (bucket % SUB_BUCKETS)) * 2 ** shift;
  return lowest + (2 ** shift - 1) / 2;
}
