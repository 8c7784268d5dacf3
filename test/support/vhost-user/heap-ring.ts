/**
 * A split ring and all of guest memory in one plain array, guest address 0 at its start: for tests of the ring
 * code alone, without mapping or socket. Fields are written as the driver would, right or wrong.
 */
import type { AddressSpace } from '../../../src/fabrics/vhost-user/address-space.ts';
import { DescriptorChain } from '../../../src/fabrics/vhost-user/descriptor-chain.ts';
import { GuestViews } from '../../../src/fabrics/vhost-user/guest-views.ts';
import {
  SplitVirtqueue,
  type SplitVirtqueueOptions,
} from '../../../src/fabrics/vhost-user/split-virtqueue.ts';
import type { Virtqueue } from '../../../src/fabrics/vhost-user/virtqueue.ts';
import { CHAIN_LIMIT } from '../../../src/fabrics/vhost-user/virtqueue.ts';
import type { SegmentList } from '../../../src/scsi/segment-list.ts';

const REGION = 1;
/** Bytes of guest memory; addresses from here on are not mapped. */
export const MEMORY_END = 0x10000;
const DESCRIPTORS = 0x1000;
const AVAILABLE = 0x2000;
const USED = 0x3000;

export interface RingDescriptor {
  readonly address?: number | bigint;
  readonly length?: number;
  readonly flags?: number;
  readonly next?: number;
}

export class HeapRing implements AddressSpace {
  readonly bytes = new Uint8Array(MEMORY_END);
  readonly view = new DataView(this.bytes.buffer);
  readonly views = new GuestViews();
  readonly chain: DescriptorChain;
  readonly size: number;
  readonly queue: SplitVirtqueue;
  private offered = 0;

  constructor(size = 8, options: Partial<SplitVirtqueueOptions> = {}) {
    this.size = size;
    this.offered = options.base ?? 0;
    this.view.setUint16(USED + 2, this.offered, true);
    this.views.add({ id: REGION, windowCount: 1, window: () => this.bytes });
    const { buffer } = this.bytes;
    this.queue = new SplitVirtqueue({
      size,
      descriptors: new Uint32Array(buffer, DESCRIPTORS, size * 4),
      available: new Uint16Array(buffer, AVAILABLE, size + 3),
      used: new Uint16Array(buffer, USED, size * 4 + 3),
      usedEntries: new Uint32Array(buffer, USED, size * 2 + 1),
      space: this,
      guest: this.views,
      eventIndex: false,
      notifyOnEmpty: false,
      indirect: true,
      base: 0,
      ...options,
    });
    this.chain = new DescriptorChain(CHAIN_LIMIT);
  }

  translate(chain: DescriptorChain, index: number, skip: number, length: number, into: SegmentList): boolean {
    const address = chain.addressAt(index) + skip;
    if (address + length > MEMORY_END) return false;
    into.add(REGION, address, length);
    return true;
  }

  /** Writes descriptors of a table, by default the ring's own, from index 0 on. */
  describe(descriptors: readonly RingDescriptor[], table = DESCRIPTORS): void {
    for (const [index, { address = 0, length = 0, flags = 0, next = 0 }] of descriptors.entries()) {
      const at = table + index * 16;
      this.view.setBigUint64(at, BigInt(address), true);
      this.view.setUint32(at + 8, length, true);
      this.view.setUint16(at + 12, flags, true);
      this.view.setUint16(at + 14, next, true);
    }
  }

  /** Makes chains available by their heads. */
  offer(...heads: readonly number[]): void {
    for (const head of heads) {
      this.view.setUint16(AVAILABLE + 4 + (this.offered % this.size) * 2, head, true);
      this.offered = (this.offered + 1) & 0xffff;
    }
    this.availableIndex = this.offered;
  }

  set availableIndex(index: number) {
    this.view.setUint16(AVAILABLE + 2, index, true);
  }

  set availableFlags(flags: number) {
    this.view.setUint16(AVAILABLE, flags, true);
  }

  set usedEvent(index: number) {
    this.view.setUint16(AVAILABLE + 4 + this.size * 2, index, true);
  }

  get availableEvent(): number {
    return this.view.getUint16(USED + 4 + this.size * 8, true);
  }

  get usedFlags(): number {
    return this.view.getUint16(USED, true);
  }

  get usedIndex(): number {
    return this.view.getUint16(USED + 2, true);
  }

  usedEntry(at: number): { id: number; written: number } {
    const entry = USED + 4 + (at % this.size) * 8;
    return { id: this.view.getUint32(entry, true), written: this.view.getUint32(entry + 4, true) };
  }

  pop(): ReturnType<typeof takeAll> {
    return takeAll(this.queue, this.chain);
  }
}

/** Takes the next chain with its buffers as (address, length); undefined when there is none. */
export function takeAll(
  queue: Virtqueue,
  chain: DescriptorChain,
): { head: number; readable: number; buffers: [number, number][] } | undefined {
  if (!queue.pop(chain)) return undefined;
  const { head, readable, count } = chain;
  const buffers = Array.from({ length: count }, (_, i): [number, number] => [
    chain.addressAt(i),
    chain.lengthAt(i),
  ]);
  return { head, readable, buffers };
}
