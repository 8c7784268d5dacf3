/**
 * The driver side of a packed virtqueue (virtio 1.2, 2.8): direct or indirect requests, with or without EVENT_IDX.
 * `descriptors` can also be written raw, for rings no driver would make.
 */
import {
  EventFlag,
  EventSuppression,
  PackedDescriptor,
  PackedFlag,
} from '../../../src/fabrics/vhost-user/packed-virtqueue-spec.ts';
import { PackedVringBase } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';
import type { BufferElement, DriverRing, UsedCallback } from './driver-ring.ts';
import type { GuestMemory } from './guest-memory.ts';

/** Both wrap counters are 1 at the start (2.8.1): what SET_VRING_BASE says then. */
export const PACKED_START =
  (PackedVringBase.AVAIL_WRAP | (PackedVringBase.AVAIL_WRAP << PackedVringBase.USED_SHIFT)) >>> 0;

const HALVES = PackedDescriptor.BYTES / 2;
const FLAGS = PackedDescriptor.FLAGS / 2;

export interface PackedDriverQueueOptions {
  /** Descriptors; any number. Default 128. */
  readonly size?: number;
  readonly eventIdx?: boolean;
  readonly indirect?: boolean;
}

interface Chain {
  readonly places: number;
  readonly table: number | undefined;
}

export class PackedDriverQueue implements DriverRing {
  readonly size: number;
  readonly descriptorAddress: number;
  /** Where the driver's event suppression is: the available ring's place in SET_VRING_ADDR. */
  readonly availableAddress: number;
  /** The device's event suppression. */
  readonly usedAddress: number;
  readonly kickFd: number;
  readonly callFd: number;
  /** The ring, for raw writes. */
  readonly descriptors: DataView;
  private readonly memory: GuestMemory;
  private readonly eventIdx: boolean;
  private readonly indirect: boolean;
  private readonly halves: Uint16Array;
  private readonly driverEvent: Uint32Array;
  private readonly deviceEvent: Uint32Array;
  private readonly free: number[];
  private freePlaces: number;
  private readonly chains = new Map<number, Chain>();
  private next = 0;
  private wrap = true;
  private used = 0;
  private usedWrap = true;
  /** First descriptors that the device cannot see yet, with their flags. */
  private readonly unpublished: { place: number; flags: number }[] = [];
  /** Places added since the last publish. */
  private added = 0;

  constructor(memory: GuestMemory, options: PackedDriverQueueOptions = {}) {
    const { size = 128, eventIdx = false, indirect = false } = options;
    this.memory = memory;
    this.size = size;
    this.eventIdx = eventIdx;
    this.indirect = indirect;
    const length = PackedDescriptor.BYTES * size;
    this.descriptorAddress = memory.allocate(length, PackedDescriptor.BYTES);
    this.availableAddress = memory.allocate(EventSuppression.BYTES, EventSuppression.BYTES);
    this.usedAddress = memory.allocate(EventSuppression.BYTES, EventSuppression.BYTES);
    memory.bytes(this.descriptorAddress, length).fill(0);
    this.descriptors = memory.view(this.descriptorAddress, length);
    this.halves = memory.words(this.descriptorAddress, length / 2);
    this.driverEvent = memory.doubleWords(this.availableAddress, 1).fill(0);
    this.deviceEvent = memory.doubleWords(this.usedAddress, 1).fill(0);
    this.kickFd = checked(addon.eventfd(), 'make', 'a kick eventfd');
    this.callFd = checked(addon.eventfd(), 'make', 'a call eventfd');
    this.free = Array.from({ length: size }, (_, i) => size - 1 - i);
    this.freePlaces = size;
    this.awaitInterrupts();
  }

  add(elements: readonly BufferElement[]): number {
    const places = this.indirect ? 1 : elements.length;
    if (this.freePlaces < places) throw new RangeError(`ring full: ${places} descriptors wanted`);
    const id = this.free.pop()!;
    let table: number | undefined;
    if (this.indirect) {
      table = this.memory.allocate(PackedDescriptor.BYTES * elements.length);
      const view = this.memory.view(table, PackedDescriptor.BYTES * elements.length);
      for (const [i, { address, length, writable }] of elements.entries()) {
        writeDescriptor(view, i, address, length, 0, writable ? PackedFlag.WRITE : 0);
      }
      this.place(table, PackedDescriptor.BYTES * elements.length, id, PackedFlag.INDIRECT, true);
    } else {
      for (const [i, { address, length, writable }] of elements.entries()) {
        const last = i === elements.length - 1;
        const flags = (writable ? PackedFlag.WRITE : 0) | (last ? 0 : PackedFlag.NEXT);
        this.place(address, length, id, flags, i === 0);
      }
    }
    this.chains.set(id, { places, table });
    this.freePlaces -= places;
    this.added += places;
    return id;
  }

  publish(): boolean {
    for (const { place, flags } of this.unpublished.splice(0)) {
      Atomics.store(this.halves, place * HALVES + FLAGS, flags);
    }
    const { added } = this;
    this.added = 0;
    const event = Atomics.load(this.deviceEvent, 0);
    const flags = (event >>> 16) & EventFlag.MASK;
    if (flags !== EventFlag.DESCRIPTOR) return flags === EventFlag.ENABLE;
    let place = event & 0x7fff;
    if (((event & EventSuppression.WRAP) !== 0) !== this.wrap) place -= this.size;
    return ((this.next - place - 1) & 0xffff) < added;
  }

  kick(): void {
    checked(addon.signal(this.kickFd), 'kick', 'a queue');
  }

  reap(callback: UsedCallback): number {
    let count = 0;
    for (;;) {
      while (this.nextIsUsed()) {
        const id = this.descriptors.getUint16(this.used * PackedDescriptor.BYTES + PackedDescriptor.ID, true);
        const at = this.used * PackedDescriptor.BYTES + PackedDescriptor.LENGTH;
        const written = this.descriptors.getUint32(at, true);
        const chain = this.chains.get(id);
        if (chain === undefined) throw new Error(`the device used buffer ${id}, which it was not given`);
        this.chains.delete(id);
        this.free.push(id);
        this.freePlaces += chain.places;
        if (chain.table !== undefined) this.memory.release(chain.table);
        this.used += chain.places;
        if (this.used >= this.size) {
          this.used -= this.size;
          this.usedWrap = !this.usedWrap;
        }
        count++;
        callback(id, written);
      }
      this.awaitInterrupts();
      if (!this.nextIsUsed()) return count;
    }
  }

  close(): void {
    addon.close(this.kickFd);
    addon.close(this.callFd);
  }

  private nextIsUsed(): boolean {
    const flags = Atomics.load(this.halves, this.used * HALVES + FLAGS);
    const avail = (flags & PackedFlag.AVAIL) !== 0;
    const used = (flags & PackedFlag.USED) !== 0;
    return avail === this.usedWrap && used === this.usedWrap;
  }

  private awaitInterrupts(): void {
    const place = this.used | (this.usedWrap ? EventSuppression.WRAP : 0);
    const flag = this.eventIdx ? EventFlag.DESCRIPTOR : EventFlag.ENABLE;
    Atomics.store(this.driverEvent, 0, place | (flag << 16));
  }

  private place(address: number, length: number, id: number, flags: number, first: boolean): void {
    const at = this.next;
    const available = flags | (this.wrap ? PackedFlag.AVAIL : PackedFlag.USED);
    const visible = first ? this.halves[at * HALVES + FLAGS] : available;
    writeDescriptor(this.descriptors, at, address, length, id, visible);
    if (first) this.unpublished.push({ place: at, flags: available });
    this.next++;
    if (this.next === this.size) {
      this.next = 0;
      this.wrap = !this.wrap;
    }
  }
}

function writeDescriptor(
  table: DataView,
  index: number,
  address: number,
  length: number,
  id: number,
  flags: number,
): void {
  const at = PackedDescriptor.BYTES * index;
  table.setBigUint64(at + PackedDescriptor.ADDRESS, BigInt(address), true);
  table.setUint32(at + PackedDescriptor.LENGTH, length, true);
  table.setUint16(at + PackedDescriptor.ID, id, true);
  table.setUint16(at + PackedDescriptor.FLAGS, flags, true);
}
