/**
 * The operations of one batch, as rows of numbers in memory that the addon reads: what to do with which file or
 * region, and which pieces of memory it is for. It knows nothing of who waits for what; engine-spec.ts has the columns.
 */
import { IoColumns, IoKind } from './engine-spec.ts';
import type { Segments } from './segments.ts';

export class SubmissionTable {
  /** Rows in use. */
  count = 0;
  private vectorCount = 0;
  private readonly rows: Float64Array;
  private readonly vectors: Float64Array;
  private readonly maxVectors: number;

  constructor(rows: Float64Array, vectors: Float64Array) {
    this.rows = rows;
    this.vectors = vectors;
    this.maxVectors = vectors.length / IoColumns.VECTOR;
  }

  /**
   * False, and nothing is added, when there is too little room for the segments; an operation for which even the empty
   * table is too small completes with -EINVAL, as does one whose segments are shorter than its length.
   */
  add(
    kind: IoKind,
    slot: number,
    file: number,
    flags: number,
    offset: number,
    length: number,
    segments: Segments | undefined,
    segmentsOffset: number,
  ): boolean {
    const first = this.vectorCount;
    if (segments !== undefined && !this.addVectors(segments, segmentsOffset, length) && first > 0)
      return false;
    const { rows } = this;
    const at = this.count++ * IoColumns.SUBMISSION;
    rows[at] = kind;
    rows[at + 1] = slot;
    rows[at + 2] = file;
    rows[at + 3] = flags;
    rows[at + 4] = offset;
    rows[at + 5] = length;
    rows[at + 6] = first;
    rows[at + 7] = this.vectorCount - first;
    return true;
  }

  slotOf(row: number): number {
    return this.rows[row * IoColumns.SUBMISSION + 1];
  }

  /** The row will do nothing but complete with -ECANCELED. */
  cancel(row: number): void {
    this.rows[row * IoColumns.SUBMISSION] = IoKind.CANCELLED;
  }

  /** Empties the table, whose rows stay as they are until the next `add`; returns how many there were. */
  take(): number {
    const { count } = this;
    this.count = 0;
    this.vectorCount = 0;
    return count;
  }

  /** False when the table has too little room for the range, and nothing is taken. */
  private addVectors(segments: Segments, skip: number, length: number): boolean {
    const { triples, count } = segments;
    const { vectors, maxVectors } = this;
    let row = this.vectorCount;
    for (let i = 0; i < count && length > 0; i++) {
      const from = i * IoColumns.VECTOR;
      const available = triples[from + 2];
      if (skip >= available) {
        skip -= available;
        continue;
      }
      if (row === maxVectors) return false;
      const part = Math.min(available - skip, length);
      const at = row++ * IoColumns.VECTOR;
      vectors[at] = triples[from];
      vectors[at + 1] = triples[from + 1] + skip;
      vectors[at + 2] = part;
      skip = 0;
      length -= part;
    }
    this.vectorCount = row;
    return true;
  }
}
