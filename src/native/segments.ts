/**
 * Where data lies in memory: (region id, offset, length) triples. Structural, so that the SCSI core's list
 * fits without either side importing the other.
 */
export interface Segments {
  /** Of each segment, as `IoColumns.VECTOR` has it: region id, bytes from the start of the region, bytes. */
  readonly triples: Float64Array;
  readonly count: number;
}
