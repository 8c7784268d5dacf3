/**
 * The buffer that outlives the back-end ("Vhost-user Protocol", section "Inflight I/O tracking"): one region per
 * queue. Offsets and lengths in bytes; all fields little-endian.
 */

/** QueueRegionSplit; DescStateSplit entries follow. */
export const SplitRegion = {
  /** u64, 0. */
  FEATURES: 0,
  /** u16. */
  VERSION: 8,
  /** u16, entries. */
  DESCRIPTOR_COUNT: 10,
  /** u16, head of the list of the last batch. */
  LAST_BATCH_HEAD: 12,
  /** u16, index of the used ring. */
  USED_INDEX: 14,
  ENTRIES: 16,
} as const;

export const SplitEntry = {
  /** u8. */
  INFLIGHT: 0,
  /** u16, next in the list of the last batch. */
  NEXT: 6,
  /** u64, the order in which chains were taken. */
  COUNTER: 8,
  LENGTH: 16,
} as const;

/** QueueRegionPacked; DescStatePacked entries follow, at their alignment of 8. */
export const PackedRegion = {
  VERSION: 8,
  DESCRIPTOR_COUNT: 10,
  /** u16, head of the list of free entries. */
  FREE_HEAD: 12,
  /** u16, the same before the batch that is under way. */
  OLD_FREE_HEAD: 14,
  /** u16, place in the ring of the next used descriptor. */
  USED_INDEX: 16,
  OLD_USED_INDEX: 18,
  /** u8. */
  USED_WRAP: 20,
  OLD_USED_WRAP: 21,
  ENTRIES: 32,
} as const;

/** A descriptor that was taken; the first ones of chains tell about their chain too. */
export const PackedEntry = {
  /** u8, of a first one. */
  INFLIGHT: 0,
  /** u16, next entry of the chain, or of the free list. */
  NEXT: 2,
  /** u16, the chain's last entry; of a first one. */
  LAST: 4,
  /** u16, descriptors in the chain; of a first one. */
  COUNT: 6,
  /** u64, the order in which chains were taken; of a first one. */
  COUNTER: 8,
  /** u16. */
  ID: 16,
  /** u16. */
  FLAGS: 18,
  /** u32. */
  DESCRIPTOR_LENGTH: 20,
  /** u64. */
  ADDRESS: 24,
  LENGTH: 32,
} as const;

/** 0 means: not initialised yet. */
export const INFLIGHT_VERSION = 1;

/** Regions start at multiples of this, so that no two queues share a cache line. */
export const INFLIGHT_ALIGNMENT = 64;
