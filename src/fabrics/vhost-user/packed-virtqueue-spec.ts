/** Packed virtqueues (virtio 1.2, 2.8). Offsets and lengths in bytes; all fields little-endian. */

/** 2.8.13 "The Virtqueue Descriptor Table": the ring itself, and indirect tables. */
export const PackedDescriptor = {
  /** u64, guest-physical. */
  ADDRESS: 0,
  /** u32, bytes. */
  LENGTH: 8,
  /** u16, buffer id. */
  ID: 12,
  /** u16. */
  FLAGS: 14,
  BYTES: 16,
} as const;

/** 2.8.1 "Driver and Device Ring Wrap Counters", 2.8.5 to 2.8.7. */
export const PackedFlag = {
  NEXT: 1 << 0,
  WRITE: 1 << 1,
  INDIRECT: 1 << 2,
  AVAIL: 1 << 7,
  USED: 1 << 15,
} as const;

/** 2.8.14 "Event Suppression Structure Format": one for each side, to be written by that side only. */
export const EventSuppression = {
  /** u16: ring offset in bits 0 to 14, wrap counter in bit 15. */
  DESCRIPTOR: 0,
  /** u16. */
  FLAGS: 2,
  BYTES: 4,
  WRAP: 1 << 15,
} as const;

export const EventFlag = {
  ENABLE: 0,
  DISABLE: 1,
  /** Only when the descriptor named is reached; with EVENT_IDX. */
  DESCRIPTOR: 2,
  MASK: 3,
} as const;
