/**
 * Where data lies in memory: (region id, offset, length) triples. Structural, so that the SCSI core's list
 * fits without either side importing the other.
 */
export interface Segments {
  readonly regions: Int32Array;
  /** Bytes from the start of the region. */
  readonly offsets: Float64Array;
  /** Bytes. */
  readonly lengths: Float64Array;
  readonly count: number;
}
