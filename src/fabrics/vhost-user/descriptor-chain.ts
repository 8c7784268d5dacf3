/** One request as the driver described it: its buffers, each descriptor read once. Reused for every request. */
export class DescriptorChain {
  /** What the used ring gets back: the chain's first descriptor (split), its buffer id (packed). */
  head = 0;
  count = 0;
  /** The first so many buffers are for the device to read, the others to write. */
  readable = 0;
  /** Guest-physical, or IOVAs when an IOMMU is negotiated. */
  readonly addresses: Float64Array;
  /** Bytes. */
  readonly lengths: Float64Array;

  constructor(capacity: number) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Float64Array(capacity);
  }

  get capacity(): number {
    return this.addresses.length;
  }
}
