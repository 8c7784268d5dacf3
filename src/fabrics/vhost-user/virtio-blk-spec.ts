/** Numbers of the virtio block device (virtio 1.2, 5.2). */

/** Feature bits (5.2.3). */
export const BlkFeature = {
  SEG_MAX: 2,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
} as const;

/** Byte offsets in the configuration space (5.2.4). */
export const BlkConfig = {
  /** u64, in sectors. */
  CAPACITY: 0,
  SEG_MAX: 12,
  BLK_SIZE: 20,
  /** u8: physical blocks are 2^n logical ones. */
  PHYSICAL_BLOCK_EXPONENT: 24,
  /** u8, logical blocks. */
  ALIGNMENT_OFFSET: 25,
  /** u16, logical blocks. */
  MIN_IO_SIZE: 26,
  OPT_IO_SIZE: 28,
  /** u8; 1: a volatile cache, which needs flushes. */
  WRITEBACK: 32,
  /** u16. */
  NUM_QUEUES: 34,
  MAX_DISCARD_SECTORS: 36,
  MAX_DISCARD_SEG: 40,
  DISCARD_SECTOR_ALIGNMENT: 44,
  MAX_WRITE_ZEROES_SECTORS: 48,
  MAX_WRITE_ZEROES_SEG: 52,
  WRITE_ZEROES_MAY_UNMAP: 56,
  /** Up to the end of what virtio 1.2 defines, secure erase and zones included. */
  LENGTH: 96,
} as const;

/** Bytes, whatever the logical block is. */
export const SECTOR = 512;

/** Request types (5.2.6). */
export const BlkType = {
  IN: 0,
  OUT: 1,
  FLUSH: 4,
  GET_ID: 8,
  DISCARD: 11,
  WRITE_ZEROES: 13,
} as const;

export const BlkStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;
export type BlkStatus = (typeof BlkStatus)[keyof typeof BlkStatus];

/** Byte offsets in the header of a request. */
export const BlkHeader = { TYPE: 0, SECTOR: 8, LENGTH: 16 } as const;

/** Byte offsets in a range of DISCARD and WRITE ZEROES. */
export const BlkRange = { SECTOR: 0, SECTORS: 8, FLAGS: 12, LENGTH: 16 } as const;
/** So many ranges one request may have; a limit of ours. */
export const MAX_RANGES = 32;
/** WRITE ZEROES: the range may be unmapped. */
export const RANGE_UNMAP = 1;

/** Bytes of the answer to GET_ID. */
export const ID_LENGTH = 20;
