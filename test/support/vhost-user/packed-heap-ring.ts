/** A packed ring and all of guest memory in one plain array; see heap-ring.ts. */
import type { AddressSpace } from '../../../src/fabrics/vhost-user/address-space.ts';
import { DescriptorChain } from '../../../src/fabrics/vhost-user/descriptor-chain.ts';
import { GuestViews } from '../../../src/fabrics/vhost-user/guest-views.ts';
import {
  PackedVirtqueue,
  type PackedVirtqueueOptions,
} from '../../../src/fabrics/vhost-user/packed-virtqueue.ts';
import { PackedFlag } from '../../../src/fabrics/vhost-user/packed-virtqueue-spec.ts';
import { CHAIN_LIMIT } from '../../../src/fabrics/vhost-user/virtqueue.ts';
import type { SegmentList } from '../../../src/scsi/segment-list.ts';
import { MEMORY_END, takeAll } from './heap-ring.ts';
import { PACKED_START } from './packed-driver-queue.ts';

const REGION = 1;
const DESCRIPTORS = 0x1000;
const DRIVER_EVENT = 0x2000;
const DEVICE_EVENT = 0x2004;

export interface PackedRingDescriptor {
  readonly address?: number | bigint;
  readonly length?: number;
  readonly id?: number;
  /** Without AVAIL and USED, which `describe` adds. */
  readonly flags?: number;
}

export class PackedHeapRing implements AddressSpace {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly views = new GuestViews();
  readonly queue: PackedVirtqueue;
  readonly chain: DescriptorChain;
  readonly size: number;

  constructor(size = 8, options: Partial<PackedVirtqueueOptions> = {}, bytes = new Uint8Array(MEMORY_END)) {
    this.size = size;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.views.add({ id: REGION, windowCount: 1, window: () => bytes });
    const { buffer } = bytes;
    this.queue = new PackedVirtqueue({
      size,
      descriptors: new Uint32Array(buffer, DESCRIPTORS, size * 4),
      descriptorHalves: new Uint16Array(buffer, DESCRIPTORS, size * 8),
      driverEvent: new Uint32Array(buffer, DRIVER_EVENT, 1),
      deviceEvent: new Uint32Array(buffer, DEVICE_EVENT, 1),
      guestAddress: DESCRIPTORS,
      space: this,
      guest: this.views,
      eventIndex: false,
      indirect: true,
      base: PACKED_START,
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

  /** Writes available descriptors into the ring from place `at` on, in the round that `wrap` says. */
  describe(descriptors: readonly PackedRingDescriptor[], at = 0, wrap = true): void {
    for (const [index, descriptor] of descriptors.entries()) {
      const place = (at + index) % this.size;
      const round = at + index >= this.size ? !wrap : wrap;
      this.write(DESCRIPTORS, place, descriptor, round ? PackedFlag.AVAIL : PackedFlag.USED);
    }
  }

  /** Writes an indirect table. */
  table(descriptors: readonly PackedRingDescriptor[], address: number): void {
    for (const [index, descriptor] of descriptors.entries()) this.write(address, index, descriptor, 0);
  }

  set driverEvent(value: number) {
    this.view.setUint32(DRIVER_EVENT, value, true);
  }

  get deviceEvent(): number {
    return this.view.getUint32(DEVICE_EVENT, true);
  }

  /** Id, length and flags of the descriptor at a place. */
  used(place: number): { id: number; written: number; flags: number } {
    const at = DESCRIPTORS + place * 16;
    return {
      id: this.view.getUint16(at + 12, true),
      written: this.view.getUint32(at + 8, true),
      flags: this.view.getUint16(at + 14, true),
    };
  }

  pop(): ReturnType<typeof takeAll> {
    return takeAll(this.queue, this.chain);
  }

  private write(table: number, index: number, descriptor: PackedRingDescriptor, bits: number): void {
    const { address = 0, length = 0, id = 0, flags = 0 } = descriptor;
    const at = table + index * 16;
    this.view.setBigUint64(at, BigInt(address), true);
    this.view.setUint32(at + 8, length, true);
    this.view.setUint16(at + 12, id, true);
    this.view.setUint16(at + 14, flags | bits, true);
  }
}
