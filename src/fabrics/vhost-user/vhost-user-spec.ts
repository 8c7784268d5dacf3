/**
 * The vhost-user protocol on the wire ("Vhost-user Protocol" in QEMU's documentation, docs/interop/vhost-user.rst).
 * All fields are little-endian: the protocol says "host byte order", and every host lunport runs on is one.
 *
 * Message:
 *
 *      0        4        8       12
 *     +--------+--------+--------+----------- - -
 *     | request| flags  | size   | payload
 *     +--------+--------+--------+----------- - -
 */

/** Section "Header". Offsets and lengths in bytes. */
export const MessageHeader = {
  REQUEST: 0,
  FLAGS: 4,
  /** Bytes of payload. */
  SIZE: 8,
  LENGTH: 12,
} as const;

export const MessageFlags = {
  VERSION_MASK: 0x3,
  VERSION: 0x1,
  REPLY: 1 << 2,
  /** The receiver answers with a u64: 0 for success (protocol feature REPLY_ACK). */
  NEED_REPLY: 1 << 3,
} as const;

/** Section "Front-end message types". */
export const Request = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_LOG_FD: 7,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  IOTLB_MSG: 22,
  SET_VRING_ENDIAN: 23,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  GET_INFLIGHT_FD: 31,
  SET_INFLIGHT_FD: 32,
  RESET_DEVICE: 34,
  VRING_KICK: 35,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  SET_STATUS: 39,
  GET_STATUS: 40,
} as const;

/** Section "Back-end message types": on the channel that SET_BACKEND_REQ_FD opens. */
export const BackendRequest = {
  IOTLB_MSG: 1,
  CONFIG_CHANGE_MSG: 2,
  VRING_CALL: 4,
  VRING_ERR: 5,
} as const;

/** Bits of the 64-bit device features that belong to vhost, not to the device. Bit numbers. */
export const VhostFeature = {
  /** VHOST_F_LOG_ALL: log every write to guest memory. */
  LOG_ALL: 26,
  /** VHOST_USER_F_PROTOCOL_FEATURES. */
  PROTOCOL_FEATURES: 30,
} as const;

/** Section "Protocol features": bit numbers. */
export const ProtocolFeature = {
  MQ: 0,
  LOG_SHMFD: 1,
  REPLY_ACK: 3,
  BACKEND_REQ: 5,
  CONFIG: 9,
  INFLIGHT_SHMFD: 12,
  RESET_DEVICE: 13,
  INBAND_NOTIFICATIONS: 14,
  CONFIGURE_MEM_SLOTS: 15,
  STATUS: 16,
  GPA_ADDRESSES: 21,
} as const;

/** A single u64 payload. */
export const U64_LENGTH = 8;

/**
 * SET_VRING_KICK, _CALL and _ERR: a u64 whose low byte is the ring's index; with the flag, no descriptor came
 * along and the ring is polled (kick) or never signalled (call, err).
 */
export const VringFd = { INDEX_MASK: 0xff, NO_FD: 0x100 } as const;

/** Section "Vring state description": u32 index, u32 value. */
export const VringState = { INDEX: 0, VALUE: 4, LENGTH: 8 } as const;

/** SET_VRING_BASE and GET_VRING_BASE of a packed ring: avail index and used index in one value. */
export const PackedVringBase = {
  AVAIL_MASK: 0x7fff,
  AVAIL_WRAP: 1 << 15,
  USED_SHIFT: 16,
} as const;

/** Section "Vring address description". Ring addresses are the front-end's own, `LOG` is guest-physical. */
export const VringAddress = {
  INDEX: 0,
  FLAGS: 4,
  DESCRIPTOR: 8,
  USED: 16,
  AVAILABLE: 24,
  LOG: 32,
  LENGTH: 40,
  /** Bit 0 of FLAGS, VHOST_VRING_F_LOG: writes to the used ring are logged at LOG. */
  LOG_FLAG: 1,
} as const;

/** Section "Memory region description". */
export const MemoryRegion = {
  GUEST_ADDRESS: 0,
  /** Bytes. */
  SIZE: 8,
  USER_ADDRESS: 16,
  /** Where the region starts in what its descriptor maps, bytes. */
  MMAP_OFFSET: 24,
  LENGTH: 32,
} as const;

/** Section "Multiple memory regions description": SET_MEM_TABLE. */
export const MemoryTableMessage = { COUNT: 0, REGIONS: 8, MAX_REGIONS: 8 } as const;

/** Section "Single memory region description": ADD_MEM_REG and REM_MEM_REG. */
export const SingleRegionMessage = { REGION: 8, LENGTH: 40 } as const;

/** What GET_MAX_MEM_SLOTS answers, as libvhost-user and KVM have it. */
export const MAX_MEMORY_SLOTS = 509;

/** Section "Log description": SET_LOG_BASE. */
export const LogMessage = { SIZE: 0, OFFSET: 8, LENGTH: 16 } as const;

/** Section "Migration": one bit of the log stands for this many bytes of guest memory. */
export const LOG_PAGE = 0x1000;

/** Section "IOTLB message". */
export const IotlbMessage = {
  IOVA: 0,
  SIZE: 8,
  USER_ADDRESS: 16,
  /** u8. */
  PERMISSION: 24,
  /** u8. */
  TYPE: 25,
  LENGTH: 32,
} as const;

export const IotlbPermission = { READ: 1, WRITE: 2, READ_WRITE: 3 } as const;

export const IotlbType = { MISS: 1, UPDATE: 2, INVALIDATE: 3, ACCESS_FAIL: 4 } as const;

/** Section "Virtio device config space". */
export const ConfigMessage = {
  OFFSET: 0,
  SIZE: 4,
  FLAGS: 8,
  PAYLOAD: 12,
  /** The value of FLAGS for what a migration brings, not the driver. */
  MIGRATION: 1,
  /** Bytes; VHOST_USER_MAX_CONFIG_SIZE of every front-end. */
  MAX_SIZE: 256,
} as const;

/**
 * Section "Inflight description". 20 bytes of fields; front-ends send the C structure, padded to 24, and expect
 * the answer in the same size.
 */
export const InflightMessage = {
  /** u64, bytes. */
  MMAP_SIZE: 0,
  /** u64, bytes. */
  MMAP_OFFSET: 8,
  /** u16. */
  NUM_QUEUES: 16,
  /** u16, descriptors per ring. */
  QUEUE_SIZE: 18,
  FIELDS_LENGTH: 20,
  LENGTH: 24,
} as const;

/** Section "Communication": descriptors that one message may carry (VHOST_MEMORY_BASELINE_NREGIONS). */
export const MAX_MESSAGE_FDS = 8;
