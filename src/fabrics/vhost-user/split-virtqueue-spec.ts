/** Split virtqueues (virtio 1.2, 2.7). Offsets and lengths in bytes; all fields little-endian. */

/** 2.7.5 "The Virtqueue Descriptor Table". */
export const Descriptor = {
  /** u64, guest-physical. */
  ADDRESS: 0,
  /** u32, bytes. */
  LENGTH: 8,
  /** u16. */
  FLAGS: 12,
  /** u16, index of the descriptor that follows when NEXT is set. */
  NEXT: 14,
  BYTES: 16,
} as const;

export const DescriptorFlag = {
  NEXT: 1,
  /** For the device to write; without it, for the device to read. */
  WRITE: 2,
  /** The buffer holds a table of descriptors. */
  INDIRECT: 4,
} as const;

/** 2.7.6 "The Virtqueue Available Ring". `used_event` stands after the ring's last entry. */
export const AvailableRing = {
  /** u16. */
  FLAGS: 0,
  /** u16. */
  INDEX: 2,
  /** u16 each. */
  RING: 4,
  ENTRY_BYTES: 2,
  EVENT_BYTES: 2,
} as const;

/** Set by the driver: do not interrupt. Void with EVENT_IDX. */
export const AVAILABLE_NO_INTERRUPT = 1;

/** 2.7.8 "The Virtqueue Used Ring". `avail_event` stands after the ring's last entry. */
export const UsedRing = {
  /** u16. */
  FLAGS: 0,
  /** u16. */
  INDEX: 2,
  /** Entries of u32 id, u32 bytes written. */
  RING: 4,
  ENTRY_BYTES: 8,
  EVENT_BYTES: 2,
} as const;

/** Set by the device: do not kick. Void with EVENT_IDX. */
export const USED_NO_NOTIFY = 1;

/** 2.7: the largest Queue Size. */
export const MAX_QUEUE_SIZE = 32768;

/** 2.7: alignment of the three parts. */
export const RingAlignment = { DESCRIPTOR: 16, AVAILABLE: 2, USED: 4 } as const;
