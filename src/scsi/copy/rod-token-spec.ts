/** ROD tokens and the commands about them (SPC-4 5.17.6, 6.24, 6.26; SBC-4 5.12, 5.59). Bytes unless said otherwise. */

export const RodType = {
  POINT_IN_TIME_DEFAULT: 0x0080_0000,
  /** Stands for data until somebody writes there. */
  POINT_IN_TIME_CHANGE_VULNERABLE: 0x0080_0001,
  /** In a request: the copy manager may choose. */
  POINT_IN_TIME_ANY: 0x0080_ffff,
  /** Well-known: as many zeroes as anybody wants. */
  ZERO: 0xffff_0001,
} as const;

/** A ROD token (SPC-4 5.17.6.4). */
export const Token = {
  LENGTH: 512,
  TYPE: 0,
  /** ROD TOKEN LENGTH does not count the first eight bytes. */
  TOKEN_LENGTH: 6,
  HEADER: 8,
  IDENTIFIER: 8,
  /** CREATOR LOGICAL UNIT DESCRIPTOR, a CSCD descriptor. */
  CREATOR: 16,
  /** NUMBER OF BYTES REPRESENTED, 16 bytes. */
  BYTES_REPRESENTED: 48,
} as const;

/** Parameter list of POPULATE TOKEN (SBC-4 5.12.2). */
export const PopulateList = {
  HEADER_LENGTH: 16,
  DATA_LENGTH: 0,
  /** The data length that has room for one range. */
  MINIMUM_DATA_LENGTH: 0x1e,
  FLAGS: 2,
  /** ROD TYPE valid. */
  RTV: 0x02,
  INACTIVITY_TIMEOUT: 4,
  ROD_TYPE: 8,
  RANGES_LENGTH: 14,
} as const;

/** Parameter list of WRITE USING TOKEN (SBC-4 5.59.2). */
export const WriteList = {
  HEADER_LENGTH: 536,
  DATA_LENGTH: 0,
  MINIMUM_DATA_LENGTH: 0x226,
  FLAGS: 2,
  DEL_TKN: 0x02,
  /** OFFSET INTO ROD, in blocks of the unit that is written. */
  OFFSET: 8,
  TOKEN: 16,
  RANGES_LENGTH: 534,
} as const;

/** Block device range descriptor (SBC-4 5.12.3). */
export const RangeDescriptor = { LENGTH: 16, LBA: 0, BLOCKS: 8 } as const;

export const TokenLimit = {
  RANGES: 64,
  /** Of all ranges of a command. */
  BYTES: 256 << 20,
  OPTIMAL_BYTES: 64 << 20,
  /** Tokens of one logical unit; with one more, the oldest is revoked. */
  TOKENS: 64,
  /** Seconds without use. */
  DEFAULT_TIMEOUT: 60,
  MAXIMUM_TIMEOUT: 600,
} as const;

/** Shared third-party copy status header of RECEIVE COPY STATUS(LID4) and RECEIVE ROD TOKEN INFORMATION (SPC-4 6.24). */
export const StatusHeader = {
  LENGTH: 32,
  SERVICE_ACTION: 4,
  STATUS: 5,
  OPERATION_COUNTER: 6,
  UPDATE_DELAY: 8,
  COMPLETION_STATUS: 12,
  SENSE_FIELD_LENGTH: 13,
  SENSE_LENGTH: 14,
  UNITS: 15,
  TRANSFER_COUNT: 16,
  SEGMENTS_PROCESSED: 24,
  /** TRANSFER COUNT UNITS: logical blocks of the copy destination. */
  UNIT_BLOCKS: 0xf1,
  UNIT_BYTES: 0x00,
  /** ESTIMATED STATUS UPDATE DELAY of what is over. */
  NO_UPDATE: 0xffff_fffe,
} as const;

/** ID FOR CREATING ROD CSCD DESCRIPTOR, before each ROD token (SPC-4 6.26). */
export const TOKEN_DESCRIPTOR_HEADER = 2;
