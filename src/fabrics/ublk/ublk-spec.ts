/**
 * ublk (include/uapi/linux/ublk_cmd.h): commands, and where the fields of its structures are. Offsets in bytes;
 * numbers in the machine's byte order, little-endian on all that lunport runs on.
 */

export const CONTROL_DEVICE = '/dev/ublk-control';
/** With the device's number behind. */
export const CHARACTER_DEVICE = '/dev/ublkc';
export const BLOCK_DEVICE = '/dev/ublkb';

/** _IOR('u', number, ublksrv_ctrl_cmd): 32 bytes. */
const reading = (number: number) => 0x8020_7500 + number;
const both = (number: number) => 0xc020_7500 + number;

export const ControlCommand = {
  GET_DEV_INFO: reading(0x02),
  ADD_DEV: both(0x04),
  DEL_DEV: both(0x05),
  START_DEV: both(0x06),
  STOP_DEV: both(0x07),
  SET_PARAMS: both(0x08),
  GET_PARAMS: reading(0x09),
  START_USER_RECOVERY: both(0x10),
  END_USER_RECOVERY: both(0x11),
  /** Linux 6.5. */
  GET_FEATURES: reading(0x13),
  /** Linux 6.9: does not wait until nobody holds the device any more. */
  DEL_DEV_ASYNC: reading(0x14),
  /** Linux 6.16. */
  UPDATE_SIZE: both(0x15),
} as const;
export type ControlCommand = (typeof ControlCommand)[keyof typeof ControlCommand];

/** _IOWR('u', number, ublksrv_io_cmd): 16 bytes. */
export const IoCommand = {
  FETCH_REQ: 0xc010_7520,
  COMMIT_AND_FETCH_REQ: 0xc010_7521,
  /** Linux 6.15: a request's pages for a place in an io_uring's table of buffers. */
  REGISTER_IO_BUF: 0xc010_7523,
  UNREGISTER_IO_BUF: 0xc010_7524,
} as const;

/** Where the data of the first tag's request begins in /dev/ublkcN, and how far apart tags are; bytes. */
export const BUFFER_OFFSET = 0x8000_0000;
export const BUFFER_STRIDE = 1 << 25;

/** Bits of a device's flags; the kernel's features have the same. */
export const Feature = {
  SUPPORT_ZERO_COPY: 1 << 0,
  USER_RECOVERY: 1 << 3,
  USER_RECOVERY_REISSUE: 1 << 4,
  CMD_IOCTL_ENCODE: 1 << 6,
  USER_COPY: 1 << 7,
  UPDATE_SIZE: 1 << 10,
} as const;

/**
 * ublksrv_ctrl_cmd: device (4), queue (2), length of the buffer (2), its address (8), data (8).
 * ublksrv_io_cmd: queue (2), tag (2), result (4), address of the tag's buffer (8).
 */
export const NO_QUEUE = 0xffff;
/** The driver chooses the number. */
export const ANY_DEVICE = -1;

/** ublksrv_ctrl_dev_info. */
export const DeviceInfo = {
  QUEUES: 0,
  DEPTH: 2,
  STATE: 4,
  MAX_IO_BYTES: 8,
  DEVICE: 12,
  PID: 16,
  FLAGS: 24,
  SIZE: 64,
} as const;

/** ublk_params, with its basic and discard parts. */
export const Parameters = {
  LENGTH: 0,
  TYPES: 4,
  ATTRIBUTES: 8,
  /** Shifts, of one byte each. */
  LOGICAL_BLOCK: 12,
  PHYSICAL_BLOCK: 13,
  IO_OPTIMAL: 14,
  IO_MINIMUM: 15,
  MAX_SECTORS: 16,
  SECTORS: 24,
  DISCARD_GRANULARITY: 44,
  MAX_DISCARD_SECTORS: 48,
  MAX_WRITE_ZEROES_SECTORS: 52,
  MAX_DISCARD_SEGMENTS: 56,
  SIZE: 60,
} as const;
export const ParameterType = { BASIC: 1 << 0, DISCARD: 1 << 1 } as const;
export const Attribute = { READ_ONLY: 1 << 0, VOLATILE_CACHE: 1 << 2, FUA: 1 << 3 } as const;

/** ublksrv_io_desc, one for each tag, in 32-bit words. */
export const IoDescriptor = { OP_FLAGS: 0, SECTORS: 1, START_LOW: 2, START_HIGH: 3, WORDS: 6 } as const;
export const OPERATION_MASK = 0xff;
export const Operation = { READ: 0, WRITE: 1, FLUSH: 2, DISCARD: 3, WRITE_ZEROES: 5 } as const;
export const OperationFlag = { FUA: 1 << 13, NOUNMAP: 1 << 15 } as const;

/** Bytes. */
export const SECTOR = 512;
