/**
 * The NBD protocol's numbers and layouts (NetworkBlockDevice/nbd, doc/proto.md). All fields are big-endian;
 * offsets and lengths in bytes.
 */

/** Fixed newstyle negotiation: `NBDMAGIC`, `IHAVEOPT`, flags. */
export const NBD_MAGIC = 0x4e42_444d_4147_4943n;
export const OPTION_MAGIC = 0x4948_4156_454f_5054n;
export const OPTION_REPLY_MAGIC = 0x0003_e889_0455_65a9n;
export const GREETING_LENGTH = 18;
/** Client flags, then options follow. */
export const CLIENT_FLAGS_LENGTH = 4;

export const HandshakeFlag = { FIXED_NEWSTYLE: 0x1, NO_ZEROES: 0x2 } as const;

/** An option: magic (8), option (4), length of its data (4). */
export const OPTION_HEADER_LENGTH = 16;
/** Its reply: magic (8), option (4), reply type (4), length (4). */
export const OPTION_REPLY_HEADER_LENGTH = 20;

export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

export const Reply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_POLICY: 0x8000_0002,
  ERR_INVALID: 0x8000_0003,
  ERR_TLS_REQD: 0x8000_0005,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_SHUTDOWN: 0x8000_0007,
  ERR_TOO_BIG: 0x8000_0009,
  ERR_EXT_HEADER_REQD: 0x8000_000a,
} as const;

export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

export const TransmissionFlag = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
  BLOCK_STATUS_PAYLOAD: 1 << 12,
} as const;

/** Answer to EXPORT_NAME: size (8), transmission flags (2), and 124 zeroes unless the client waived them. */
export const EXPORT_NAME_LENGTH = 10;
export const EXPORT_NAME_ZEROES = 124;

export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;
export type Command = (typeof Command)[keyof typeof Command];

export const CommandFlag = {
  FUA: 1 << 0,
  NO_HOLE: 1 << 1,
  DF: 1 << 2,
  REQ_ONE: 1 << 3,
  FAST_ZERO: 1 << 4,
  PAYLOAD_LEN: 1 << 5,
} as const;

/** A request: magic (4), flags (2), type (2), cookie (8), offset (8), length (4, or 8 with extended headers). */
export const REQUEST_MAGIC = 0x2560_9513;
export const EXTENDED_REQUEST_MAGIC = 0x21e4_1c71;
export const Request = { FLAGS: 4, TYPE: 6, COOKIE: 8, OFFSET: 16, LENGTH: 24 } as const;
export const REQUEST_LENGTH = 28;
export const EXTENDED_REQUEST_LENGTH = 32;

/** Simple reply: magic (4), error (4), cookie (8). */
export const SIMPLE_REPLY_MAGIC = 0x6744_6698;
export const SIMPLE_REPLY_LENGTH = 16;
/** Structured reply chunk: magic (4), flags (2), type (2), cookie (8), length (4). */
export const STRUCTURED_REPLY_MAGIC = 0x668e_33ef;
export const STRUCTURED_REPLY_LENGTH = 20;
/** Extended reply chunk: magic (4), flags (2), type (2), cookie (8), offset (8), length (8). */
export const EXTENDED_REPLY_MAGIC = 0x6e8a_278c;
export const EXTENDED_REPLY_LENGTH = 32;

export const CHUNK_DONE = 0x1;
export const Chunk = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** The one metadata context here, and its id within a connection. */
export const BASE_ALLOCATION = 'base:allocation';
export const BASE_ALLOCATION_ID = 1;
export const AllocationState = { HOLE: 1, ZERO: 2 } as const;

/** What block layer errors do not cover. */
export const NbdError = { EOVERFLOW: 75, ENOTSUP: 95 } as const;

/** Export names and metadata queries (proto.md: strings of at most 4096 bytes). */
export const MAX_STRING_LENGTH = 4096;
/** Bytes of data in one option; a client's list of queries is the longest that anybody sends. */
export const MAX_OPTION_LENGTH = 64 * 1024;
/** Bytes of data in one WRITE or READ: what proto.md lets every client expect. */
export const MAX_PAYLOAD = 32 << 20;
