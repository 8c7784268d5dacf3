import { VirtqueueError } from './protocol-error.ts';
import { Descriptor } from './split-virtqueue-spec.ts';

/** From here on, addresses are not exact as Numbers; no memory can be there. */
const ADDRESS_HIGH_END = 2 ** 21;
const MAX_CHAIN_BYTES = 2 ** 32;
/** Of a chain, besides its descriptors: in their unit of memory, about. */
const CHAIN_COST = 16;
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
  /**
   * Of each buffer its address, which is guest-physical or an IOVA when an IOMMU is negotiated, and its length in bytes.
   * In one array, since each array that is looked at costs a request some ten instructions.
   */
  private readonly buffers: Float64Array;
  /**
   * Of all buffers, headers included, and of the descriptors that were read, empty ones too: what taking the
   * chain costs.
   */
  bytes = 0;

  constructor(capacity: number) {
    this.buffers = new Float64Array(capacity * 2);
  }

  addressAt(index: number): number {
    return this.buffers[index << 1];
  }

  /** Bytes. */
  lengthAt(index: number): number {
    return this.buffers[(index << 1) | 1];
  }

  /** For a chain that stands for one buffer: where that lies. */
  setAddress(address: number): void {
    this.buffers[0] = address;
  }

  /** What it takes of our memory while it is in flight, in descriptors; less than 2^16. */
  get cost(): number {
    return CHAIN_COST + this.count;
  }

  /** Empties the chain. */
  clear(): void {
    this.count = 0;
    this.readable = 0;
    this.bytes = 0;
  }

  /** Appends the buffer of the descriptor at word `from`. Throws a VirtqueueError. */
  append(words: Uint32Array, from: number, writable: boolean): void {
    const { buffers, count } = this;
    const length = words[(from + LENGTH) | 0];
    this.bytes += BYTES + length;
    if (!writable) {
      if (this.readable !== count) {
        throw new VirtqueueError('device-readable descriptor after a device-writable one');
      }
      // One of no bytes is of no use, but not forbidden either.
      if (length !== 0) this.readable = count + 1;
    }
    if (length === 0) return;
    const at = count << 1;
    if (at === buffers.length) throw new VirtqueueError(`descriptor chain of more than ${count}`);
    buffers[at] = descriptorAddress(words, from);
    buffers[at | 1] = length;
    this.count = count + 1;
  }

  /** Called once all buffers are in it. Throws a VirtqueueError. */
  ended(): void {
    if (this.bytes > MAX_CHAIN_BYTES) throw new VirtqueueError('descriptor chain of more than 4 GiB');
  }
}

/** The address in the descriptor at word `at`: its first field in both ring formats. */
export function descriptorAddress(words: Uint32Array, at: number): number {
  const high = words[(at + 1) | 0];
  if (high >= ADDRESS_HIGH_END) throw new VirtqueueError('descriptor address of 2^53 or more');
  return high * 2 ** 32 + words[at];
}
