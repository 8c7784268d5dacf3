import { VirtqueueError } from './protocol-error.ts';
import { Descriptor } from './split-virtqueue-spec.ts';

/** From here on, addresses are not exact as Numbers; no memory can be there. */
const ADDRESS_HIGH_END = 2 ** 21;
const MAX_CHAIN_BYTES = 2 ** 32;
/** Index of a 32-bit word in a descriptor, the same in both ring formats. */
const LENGTH = Descriptor.LENGTH / 4;
const { BYTES } = Descriptor;

/** One request as the driver described it: its buffers, each descriptor read once. Reused for every request. */
export class DescriptorChain {
  /** What the driver gets back: the index of the first descriptor (split), the buffer id (packed). */
  head = 0;
  count = 0;
  /** The first so many buffers are for the device to read, the others to write. */
  readable = 0;
  /** Guest-physical, or IOVAs when an IOMMU is negotiated. */
  readonly addresses: Float64Array;
  /** Bytes. */
  readonly lengths: Uint32Array;
  /**
   * Of all buffers, headers included, and of the descriptors that were read, empty ones too: what taking the
   * chain costs.
   */
  bytes = 0;

  constructor(capacity: number) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Uint32Array(capacity);
  }

  get capacity(): number {
    return this.addresses.length;
  }

  /** Empties the chain. */
  clear(): void {
    this.count = 0;
    this.readable = 0;
    this.bytes = 0;
  }

  /** Appends the buffer of the descriptor at word `from`. Throws a VirtqueueError. */
  append(words: Uint32Array, from: number, writable: boolean): void {
    if (!writable && this.readable !== this.count) {
      throw new VirtqueueError('device-readable descriptor after a device-writable one');
    }
    const length = words[from + LENGTH];
    this.bytes += BYTES + length;
    // Of no use, but not forbidden either.
    if (length === 0) return;
    if (this.bytes > MAX_CHAIN_BYTES) throw new VirtqueueError('descriptor chain of more than 4 GiB');
    if (this.count === this.capacity) {
      throw new VirtqueueError(`descriptor chain of more than ${this.capacity}`);
    }
    const at = this.count++;
    this.addresses[at] = descriptorAddress(words, from);
    this.lengths[at] = length;
    if (!writable) this.readable = this.count;
  }
}

/** The address in the descriptor at word `at`: its first field in both ring formats. */
export function descriptorAddress(words: Uint32Array, at: number): number {
  const high = words[at + 1];
  if (high >= ADDRESS_HIGH_END) throw new VirtqueueError('descriptor address of 2^53 or more');
  return high * 2 ** 32 + words[at];
}
