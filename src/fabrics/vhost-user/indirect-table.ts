/**
 * Indirect descriptors (virtio 1.2, 2.7.5.3): a table of descriptors in a buffer of the guest's. Where the table
 * lies in one aligned piece it is read in place; else it is copied once.
 */
import { SegmentList } from '../../scsi/segment-list.ts';
import type { AddressSpace } from './address-space.ts';
import { DescriptorChain, descriptorAddress } from './descriptor-chain.ts';
import { type GuestViews, Staging } from './guest-views.ts';
import { VirtqueueError } from './protocol-error.ts';
import { Descriptor } from './split-virtqueue-spec.ts';

const LENGTH = Descriptor.LENGTH / 4;
const { BYTES } = Descriptor;

export class IndirectTable {
  /** The table's memory as 32-bit words, from `base` on. */
  words: Uint32Array;
  /** Index of the table's first word. */
  base = 0;
  /** Descriptors in the table. */
  count = 0;
  private readonly space: AddressSpace;
  private readonly guest: GuestViews;
  private readonly copy: Staging;
  private readonly segments = new SegmentList(4);
  /** The table as a buffer. */
  private readonly buffer = new DescriptorChain(1);

  /** `limit`: the longest table, in descriptors. */
  constructor(space: AddressSpace, guest: GuestViews, limit: number) {
    this.space = space;
    this.guest = guest;
    // The device reads it: an IOMMU may allow that and nothing else.
    this.buffer.readable = 1;
    this.copy = new Staging(limit * Descriptor.BYTES);
    this.words = this.copy.words;
  }

  /** Opens the table that the descriptor at word `at` of `words` points to. */
  open(words: Uint32Array, at: number): void {
    const { buffer } = this;
    buffer.setAddress(descriptorAddress(words, at));
    const length = words[at + LENGTH];
    if (length === 0 || (length & (BYTES - 1)) !== 0 || length > this.copy.bytes.length) {
      throw new VirtqueueError(
        `indirect table of ${length} bytes, expected ${Descriptor.BYTES} to ${this.copy.bytes.length} in steps of ${Descriptor.BYTES}`,
      );
    }
    const { segments } = this;
    segments.clear();
    if (!this.space.translate(buffer, 0, 0, length, segments)) {
      throw new VirtqueueError(`indirect table at unmapped address 0x${buffer.addressAt(0).toString(16)}`);
    }
    this.count = (length / BYTES) | 0;
    if (segments.count === 1 && (segments.offsetAt(0) & 3) === 0) {
      const words = this.guest.words(segments.regionAt(0), segments.offsetAt(0));
      if (this.words !== words) this.words = words;
      this.base = this.guest.wordIndex;
    } else {
      this.guest.copyOut(segments, this.copy);
      this.words = this.copy.words;
      this.base = 0;
    }
  }
}
