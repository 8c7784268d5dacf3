/**
 * The driver side of a split virtqueue (virtio 1.2, 2.7): requests in any layout, direct or indirect, with or
 * without EVENT_IDX. Every field can also be written raw, for rings no driver would make:
 *
 *     queue.writeDescriptor(0, { address, length: 16, flags: DescriptorFlag.NEXT, next: 0 }); // a loop
 *     queue.offer(0);
 *     queue.publish();
 *     queue.kick();
 */
import {
  AVAILABLE_NO_INTERRUPT,
  AvailableRing,
  Descriptor,
  DescriptorFlag,
  RingAlignment,
  USED_NO_NOTIFY,
  UsedRing,
} from '../../../src/fabrics/vhost-user/split-virtqueue-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';
import type { BufferElement, DriverRing, UsedCallback } from './driver-ring.ts';
import type { GuestMemory } from './guest-memory.ts';

export interface DriverQueueOptions {
  /** Descriptors; a power of two unless the test is about that. Default 128. */
  readonly size?: number;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIdx?: boolean;
  /** `add` uses one indirect table per request (VIRTIO_F_INDIRECT_DESC). */
  readonly indirect?: boolean;
  /** avail and used index to start from. */
  readonly base?: number;
}

/** A descriptor as it stands in a table. */
export interface RawDescriptor {
  readonly address: number | bigint;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

// Fields as indexes into an array of 16-bit words.
const FLAGS = AvailableRing.FLAGS / 2;
const INDEX = AvailableRing.INDEX / 2;
const RING = AvailableRing.RING / 2;

export class DriverQueue implements DriverRing {
  readonly size: number;
  readonly descriptorAddress: number;
  readonly availableAddress: number;
  readonly usedAddress: number;
  readonly kickFd: number;
  readonly callFd: number;
  /** The available ring from its start: flags, index, ring, used_event. */
  readonly available: Uint16Array;
  /** The used ring's flags and index, as words. */
  readonly used: Uint16Array;
  /** What `publish` will make the index, modulo 2^16. */
  availableIndex: number;
  /** Used elements seen, modulo 2^16. */
  usedIndex: number;
  private readonly memory: GuestMemory;
  private readonly eventIdx: boolean;
  private readonly indirect: boolean;
  private readonly descriptors: DataView;
  private readonly usedElements: Uint32Array;
  private readonly availEvent: Uint16Array;
  private readonly free: number[];
  /** Per head: descriptors to free, and the indirect table to release. */
  private readonly chains = new Map<number, { descriptors: number[]; table: number | undefined }>();
  private publishedIndex: number;
  private interruptsWanted = true;

  constructor(memory: GuestMemory, options: DriverQueueOptions = {}) {
    const { size = 128, eventIdx = false, indirect = false, base = 0 } = options;
    this.memory = memory;
    this.size = size;
    this.eventIdx = eventIdx;
    this.indirect = indirect;
    const availableBytes = AvailableRing.RING + AvailableRing.ENTRY_BYTES * size + AvailableRing.EVENT_BYTES;
    const usedBytes = UsedRing.RING + UsedRing.ENTRY_BYTES * size + UsedRing.EVENT_BYTES;
    this.descriptorAddress = memory.allocate(Descriptor.BYTES * size, RingAlignment.DESCRIPTOR);
    this.availableAddress = memory.allocate(availableBytes, RingAlignment.AVAILABLE);
    this.usedAddress = memory.allocate(usedBytes, RingAlignment.USED);
    this.descriptors = memory.view(this.descriptorAddress, Descriptor.BYTES * size);
    this.available = memory.words(this.availableAddress, availableBytes / 2);
    this.used = memory.words(this.usedAddress, UsedRing.RING / 2);
    this.usedElements = memory.doubleWords(this.usedAddress + UsedRing.RING, 2 * size);
    this.availEvent = memory.words(this.usedAddress + UsedRing.RING + UsedRing.ENTRY_BYTES * size, 1);
    this.kickFd = checked(addon.eventfd(), 'make', 'a kick eventfd');
    this.callFd = checked(addon.eventfd(), 'make', 'a call eventfd');
    this.free = Array.from({ length: size }, (_, i) => size - 1 - i);
    this.availableIndex = base;
    this.publishedIndex = base;
    this.usedIndex = base;
    this.available.fill(0);
    this.used[INDEX] = base;
    this.available[INDEX] = base;
    this.interrupts(true);
  }

  // -- Requests ---------------------------------------------------------------------------------------------

  add(elements: readonly BufferElement[]): number {
    const table = this.indirect ? this.memory.allocate(Descriptor.BYTES * elements.length) : undefined;
    const needed = table === undefined ? elements.length : 1;
    if (this.free.length < needed) throw new RangeError(`ring full: ${needed} descriptors wanted`);
    const descriptors = this.free.splice(-needed);
    const head = descriptors[0];
    if (table === undefined) {
      this.writeChain(this.descriptors, elements, descriptors);
    } else {
      const length = Descriptor.BYTES * elements.length;
      this.writeChain(
        this.memory.view(table, length),
        elements,
        elements.map((_, i) => i),
      );
      this.writeDescriptor(head, { address: table, length, flags: DescriptorFlag.INDIRECT, next: 0 });
    }
    this.chains.set(head, { descriptors, table });
    this.offer(head);
    return head;
  }

  publish(): boolean {
    const old = this.publishedIndex;
    const now = this.availableIndex;
    this.publishedIndex = now;
    // Sequentially consistent, as the device must see the entries first, and the read below must come after.
    Atomics.store(this.available, INDEX, now);
    if (!this.eventIdx) return (Atomics.load(this.used, FLAGS) & USED_NO_NOTIFY) === 0;
    return needsEvent(Atomics.load(this.availEvent, 0), now, old);
  }

  kick(): void {
    checked(addon.signal(this.kickFd), 'kick', 'a queue');
  }

  reap(callback: UsedCallback): number {
    let count = 0;
    for (;;) {
      const index = Atomics.load(this.used, INDEX);
      // Elements that came before the new used_event was seen raised no signal: look again after setting it.
      if (this.usedIndex === index) return count;
      while (this.usedIndex !== index) {
        const at = 2 * (this.usedIndex % this.size);
        const id = this.usedElements[at];
        const written = this.usedElements[at + 1];
        this.usedIndex = (this.usedIndex + 1) & 0xffff;
        count++;
        this.release(id);
        callback(id, written);
      }
      this.interrupts(this.interruptsWanted);
    }
  }

  /** Whether the device shall signal. Reap after `interrupts(true)`: elements may be there already. */
  interrupts(wanted: boolean): void {
    this.interruptsWanted = wanted;
    if (this.eventIdx) {
      // Half the index space away when not wanted; the device does not get there before the next reap.
      this.setUsedEvent(wanted ? this.usedIndex : (this.usedIndex + 0x8000) & 0xffff);
    } else {
      Atomics.store(this.available, FLAGS, wanted ? 0 : AVAILABLE_NO_INTERRUPT);
    }
  }

  /** Requests added and not yet used. */
  get inFlight(): number {
    return this.chains.size;
  }

  close(): void {
    addon.close(this.kickFd);
    addon.close(this.callFd);
  }

  // -- Raw --------------------------------------------------------------------------------------------------

  /** Writes a descriptor into the ring's table. */
  writeDescriptor(index: number, descriptor: RawDescriptor): void {
    writeDescriptor(this.descriptors, index, descriptor);
  }

  /** Puts `head` into the next entry of the available ring. */
  offer(head: number): void {
    this.available[RING + (this.availableIndex % this.size)] = head;
    this.availableIndex = (this.availableIndex + 1) & 0xffff;
  }

  /** used_event, the driver's side of EVENT_IDX. */
  setUsedEvent(index: number): void {
    Atomics.store(this.available, RING + this.size, index);
  }

  /** The device's side. */
  get usedFlags(): number {
    return Atomics.load(this.used, FLAGS);
  }

  get deviceUsedIndex(): number {
    return Atomics.load(this.used, INDEX);
  }

  get deviceAvailEvent(): number {
    return Atomics.load(this.availEvent, 0);
  }

  private writeChain(table: DataView, elements: readonly BufferElement[], indexes: readonly number[]): void {
    elements.forEach(({ address, length, writable }, i) => {
      const last = i === elements.length - 1;
      const flags = (writable ? DescriptorFlag.WRITE : 0) | (last ? 0 : DescriptorFlag.NEXT);
      writeDescriptor(table, indexes[i], { address, length, flags, next: last ? 0 : indexes[i + 1] });
    });
  }

  private release(head: number): void {
    const chain = this.chains.get(head);
    // A raw chain, or an id that the device made up: nothing of ours.
    if (chain === undefined) return;
    this.chains.delete(head);
    this.free.push(...chain.descriptors);
    if (chain.table !== undefined) this.memory.release(chain.table);
  }
}

/** Writes descriptor `index` of any table, as in 2.7.5. */
export function writeDescriptor(table: DataView, index: number, descriptor: RawDescriptor): void {
  const at = Descriptor.BYTES * index;
  table.setBigUint64(at + Descriptor.ADDRESS, BigInt(descriptor.address), true);
  table.setUint32(at + Descriptor.LENGTH, descriptor.length, true);
  table.setUint16(at + Descriptor.FLAGS, descriptor.flags, true);
  table.setUint16(at + Descriptor.NEXT, descriptor.next, true);
}

/** Whether moving an index from `old` to `now` passes `event` (2.7.7.2, vring_need_event). */
export function needsEvent(event: number, now: number, old: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
}
