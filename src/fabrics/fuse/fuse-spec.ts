/**
 * The FUSE kernel protocol (include/uapi/linux/fuse.h, version 7): opcodes, flags, and where the fields of its
 * structures are. Offsets in bytes; numbers in the machine's byte order, little-endian on all that lunport runs on.
 */

export const Opcode = {
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  INTERRUPT: 36,
  DESTROY: 38,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  LSEEK: 46,
} as const;

/** fuse_in_header: length (4), opcode (4), unique (8), node (8), uid, gid, pid, extensions. */
export const InHeader = { LENGTH: 0, OPCODE: 4, UNIQUE: 8, NODE: 16, SIZE: 40 } as const;
/** fuse_out_header: length (4), error (4, negative), unique (8). */
export const OutHeader = { LENGTH: 0, ERROR: 4, UNIQUE: 8, SIZE: 16 } as const;

/** The one inode. */
export const ROOT_NODE = 1;

/** fuse_init_in and fuse_init_out. */
export const InitIn = { MAJOR: 0, MINOR: 4, FLAGS: 12, FLAGS2: 16 } as const;
export const InitOut = {
  MAJOR: 0,
  MINOR: 4,
  MAX_READAHEAD: 8,
  FLAGS: 12,
  MAX_BACKGROUND: 16,
  CONGESTION_THRESHOLD: 18,
  MAX_WRITE: 20,
  TIME_GRANULARITY: 24,
  MAX_PAGES: 28,
  FLAGS2: 32,
  REQUEST_TIMEOUT: 40,
  SIZE: 64,
} as const;
export const MAJOR = 7;
/** What we speak: 7.31 has everything that a 64-byte fuse_init_out needs. */
export const MINOR = 31;
/** Kernels from 4.20 on have max_pages, which writes of more than 128 KiB need. */
export const MINIMUM_MINOR = 28;

export const InitFlag = {
  ASYNC_READ: 1 << 0,
  BIG_WRITES: 1 << 5,
  ASYNC_DIO: 1 << 15,
  MAX_PAGES: 1 << 22,
  INIT_EXT: 1 << 30,
} as const;
/** Bits 32 and up, as they stand in the second word. */
export const InitFlag2 = { REQUEST_TIMEOUT: 1 << 10 } as const;

/** fuse_open_out: handle (8), flags (4), padding. */
export const OpenOut = { FLAGS: 8, SIZE: 16 } as const;
export const OpenFlag = { DIRECT_IO: 1 << 0, NOFLUSH: 1 << 5, PARALLEL_DIRECT_WRITES: 1 << 6 } as const;

/** fuse_read_in and fuse_write_in begin alike; the data of a WRITE follows. */
export const TransferIn = { OFFSET: 8, COUNT: 16, FLAGS: 32, SIZE: 40 } as const;
export const WRITE_OUT_SIZE = 8;

/** fuse_fallocate_in. */
export const FallocateIn = { OFFSET: 8, COUNT: 16, MODE: 24 } as const;
export const FallocateMode = { KEEP_SIZE: 0x01, PUNCH_HOLE: 0x02, ZERO_RANGE: 0x10 } as const;

/** fuse_lseek_in; the answer is 8 bytes. */
export const SeekIn = { OFFSET: 8, WHENCE: 16 } as const;
export const Whence = { DATA: 3, HOLE: 4 } as const;
export const SEEK_OUT_SIZE = 8;

/** fuse_setattr_in: which fields are valid, and the size. */
export const SetattrIn = { VALID: 0, SIZE_FIELD: 16 } as const;
export const SETATTR_SIZE = 1 << 3;

/** fuse_attr_out: how long it is valid (12), padding, fuse_attr. */
export const AttrOut = {
  INODE: 16,
  LENGTH: 24,
  BLOCKS: 32,
  MODE: 76,
  LINKS: 80,
  UID: 84,
  GID: 88,
  BLOCK_SIZE: 96,
  SIZE: 104,
} as const;
export const REGULAR_FILE = 0o100_000;

/** fuse_statfs_out. */
export const StatfsOut = { BLOCKS: 0, BLOCK_SIZE: 40, NAME_LENGTH: 44, FRAGMENT_SIZE: 48, SIZE: 80 } as const;

/** fuse_interrupt_in: the request that is meant (8). */
export const InterruptIn = { UNIQUE_LOW: 0, UNIQUE_HIGH: 4 } as const;

/** Open flag of Linux that asks for durable writes; O_SYNC holds it too. */
export const O_DSYNC = 0o10_000;
