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

/** 0 means: not initialised yet. */
export const INFLIGHT_VERSION = 1;

/** Regions start at multiples of this, so that no two queues share a cache line. */
export const INFLIGHT_ALIGNMENT = 64;
