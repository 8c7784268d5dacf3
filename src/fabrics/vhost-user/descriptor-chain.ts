import { VirtqueueError } from './protocol-error.ts';

/** From here on, addresses are not exact as Numbers; no memory can be there. */
const ADDRESS_HIGH_END = 2 ** 21;

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

/** The address in the descriptor at word `at`, in either ring format its first field. */
export function descriptorAddress(words: Uint32Array, at: number): number {
  const high = words[at + 1];
  if (high >= ADDRESS_HIGH_END) throw new VirtqueueError('descriptor address of 2^53 or more');
  return high * 2 ** 32 + words[at];
}
