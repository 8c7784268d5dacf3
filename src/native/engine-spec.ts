/**
 * The numbers that the io engine's tables hold. native/src/engine_spec.h says the same, and what each means;
 * test/native/engine-spec.test.ts compares the two.
 */

/** Column 0 of a submission. */
export const IoKind = {
  /** Does nothing, completes with -ECANCELED: a row withdrawn before its submission. */
  CANCELLED: 0,
  /** Result: bytes read, short only at the end of the file. */
  READ_FILE: 1,
  /** Result: bytes written, always all. */
  WRITE_FILE: 2,
  /** fdatasync. Result 0, as for all that follow but RAM_READ and RAM_WRITE. */
  FSYNC: 3,
  /** The range reads as zeroes, its space is given back; files and block devices. */
  PUNCH_HOLE: 4,
  /** The range reads as zeroes and stays allocated. */
  ZERO_RANGE: 5,
  /** Space for the range; contents and file size stay. */
  PREALLOCATE: 6,
  /** Starts reading the range into the page cache: a hint. */
  PREFETCH: 7,
  /** Copies from region `file` into the vectors, at once. */
  RAM_READ: 8,
  /** Copies from the vectors into region `file`, at once. */
  RAM_WRITE: 9,
  /** Zeroes a range of region `file`, at once; whole pages of long ranges go back to the system. */
  RAM_ZERO: 10,
} as const;
export type IoKind = (typeof IoKind)[keyof typeof IoKind];

/** Column 3 of a submission: a sum of these. */
export const IoFlag = {
  /** A write completes only when its data is on stable storage. */
  FUA: 1,
  /** The descriptor is O_DIRECT: never tried at once, it would block. */
  DIRECT: 2,
  /** A buffered file: may be done at once when it is not expected to block. */
  INLINE: 4,
  /** Whoever asks may hang, in the submission too: only a worker of the kernel, or a thread, may ask. */
  WORKER: 8,
} as const;

/** Numbers per row of each table. */
export const IoColumns = {
  /** kind, slot, file, flags, offset, length, first vector, number of vectors */
  SUBMISSION: 8,
  /** region, offset, length */
  VECTOR: 3,
  /** slot, result */
  COMPLETION: 2,
} as const;
