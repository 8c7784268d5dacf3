/** Codes, layouts and limits of third-party copies by EXTENDED COPY(LID1) (SPC-4 5.17, 6.5, 6.20 to 6.26). Bytes. */

/** Parameter list of EXTENDED COPY(LID1) (SPC-4 6.5). */
export const CopyList = {
  HEADER_LENGTH: 16,
  LIST_IDENTIFIER: 0,
  /** Byte of LIST ID USAGE. */
  FLAGS: 1,
  CSCD_LIST_LENGTH: 2,
  SEGMENT_LIST_LENGTH: 8,
  INLINE_DATA_LENGTH: 12,
} as const;

/** LIST ID USAGE, bits 4 and 3 of the flags (SPC-4 6.4.3.2). */
export const ListIdUsage = { HOLD: 0, RESERVED: 1, DISCARD: 2, NONE: 3 } as const;

/** CSCD descriptor, of which only the identification form is offered (SPC-4 6.4.5.6). */
export const CscdDescriptor = {
  LENGTH: 32,
  IDENTIFICATION: 0xe4,
  DEVICE_TYPE: 1,
  CODE_SET: 4,
  ASSOCIATION_AND_TYPE: 5,
  DESIGNATOR_LENGTH: 7,
  DESIGNATOR: 8,
  DISK_BLOCK_LENGTH: 29,
} as const;

/** In place of an index of a CSCD: the logical unit that the command was sent to (SPC-4 6.4.6.1). */
export const OWN_CSCD = 0xffff;

/** Segment descriptors (SPC-4 6.4.6): code, and DESCRIPTOR LENGTH, which does not count the first 4 bytes. */
export const SegmentType = {
  BLOCK_TO_BLOCK: { code: 0x02, length: 0x18 },
  VERIFY_CSCD: { code: 0x07, length: 0x08 },
  BLOCK_TO_BLOCK_WITH_OFFSET: { code: 0x0a, length: 0x1c },
} as const;

export const SegmentHeader = {
  LENGTH: 4,
  FLAGS: 1,
  DESCRIPTOR_LENGTH: 2,
  SOURCE: 4,
  DESTINATION: 6,
} as const;

/** Block to block (02h). DC: NUMBER OF BLOCKS counts blocks of the destination. */
export const BlockToBlock = { DC: 0x02, BLOCKS: 10, SOURCE_LBA: 12, DESTINATION_LBA: 20 } as const;

/** Block with offset to block with offset (0Ah). */
export const BlockWithOffset = {
  BYTES: 8,
  SOURCE_LBA: 12,
  DESTINATION_LBA: 20,
  SOURCE_OFFSET: 28,
  DESTINATION_OFFSET: 30,
} as const;

/** Verify CSCD (07h). */
export const VerifyCscd = { FLAGS: 8, TUR: 0x01 } as const;

/** IMPLEMENTED DESCRIPTOR LIST: segment and CSCD descriptors, in ascending order (SPC-4 6.22). */
export const DESCRIPTOR_CODES = [
  SegmentType.BLOCK_TO_BLOCK.code,
  SegmentType.VERIFY_CSCD.code,
  SegmentType.BLOCK_TO_BLOCK_WITH_OFFSET.code,
  CscdDescriptor.IDENTIFICATION,
] as const;

export const CopyLimit = {
  CSCDS: 64,
  SEGMENTS: 256,
  /** CSCD and segment descriptors together. */
  DESCRIPTOR_LIST: 10240,
  /** As many as NUMBER OF BLOCKS can say, in blocks of 4096, would be 256 MiB: initiators split sooner. */
  SEGMENT: 64 << 20,
  /** Copies of one logical unit that run at once; further ones wait. */
  CONCURRENT: 4,
  /** Copies per I_T nexus whose outcome is kept. */
  KEPT: 32,
} as const;

/** COPY OPERATION STATUS (SPC-4 6.24). */
export const CopyStatus = {
  COMPLETED: 0x01,
  FAILED: 0x02,
  /** Completed, but the token stood for fewer data than there was room for. */
  COMPLETED_PARTIALLY: 0x03,
  IN_PROGRESS: 0x11,
  TERMINATED: 0x60,
} as const;
export type CopyStatus = (typeof CopyStatus)[keyof typeof CopyStatus];
