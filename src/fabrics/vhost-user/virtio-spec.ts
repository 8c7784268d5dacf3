/** Feature bits of virtio 1.2, section 6 ("Reserved Feature Bits"). Bit numbers of a 64-bit set. */
export const VirtioFeature = {
  /** Legacy: signal when the avail ring is empty, whatever the suppression says (6.3). */
  NOTIFY_ON_EMPTY: 24,
  /** Legacy: no assumption on the layout of descriptors; lunport never makes one. */
  ANY_LAYOUT: 27,
  /** VIRTIO_F_INDIRECT_DESC. */
  RING_INDIRECT_DESC: 28,
  /** VIRTIO_F_EVENT_IDX. */
  RING_EVENT_IDX: 29,
  VERSION_1: 32,
  /** VIRTIO_F_ACCESS_PLATFORM: addresses go through an IOMMU. */
  ACCESS_PLATFORM: 33,
  RING_PACKED: 34,
  IN_ORDER: 35,
} as const;
