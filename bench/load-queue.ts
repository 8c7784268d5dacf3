/**
 * A virtqueue's driver that only makes load: a fixed set of slots, each with its own descriptors, header,
 * response and data, used over and over. It allocates nothing while it runs, never reads the data, and polls:
 * the device is told not to signal.
 */
import {
  AVAILABLE_NO_INTERRUPT,
  AvailableRing,
  Descriptor,
  DescriptorFlag,
  RingAlignment,
  USED_NO_NOTIFY,
  UsedRing,
} from '../src/fabrics/vhost-user/split-virtqueue-spec.ts';
import { addon } from '../src/native/addon.ts';
import { checked } from '../src/native/errno.ts';
import { needsEvent, writeDescriptor } from '../test/support/vhost-user/driver-queue.ts';
import type { Ring } from '../test/support/vhost-user/front-end.ts';
import type { GuestMemory } from '../test/support/vhost-user/guest-memory.ts';
import type { Histogram } from './histogram.ts';
import type { Pattern, RequestSequence } from './pattern.ts';
import { type RequestFormat, Role } from './request-format.ts';

const ROLES = 3;
const MIN_SIZE = 16;
const CACHE_LINE = 64;
const PAGE = 4096;
const RESPONSE_SLOT = 128;
const FLAGS_AND_NEXT = 3;
const WORDS_PER_DESCRIPTOR = Descriptor.BYTES / 4;
// Fields of a ring as indexes into 16-bit words.
const FLAGS = 0;
const INDEX = 1;
const RING = 2;

export interface LoadQueueOptions {
  /** Requests in flight. */
  readonly slots: number;
  readonly pattern: Pattern;
  readonly format: RequestFormat;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIdx: boolean;
  /** Requests use indirect tables, as Linux's do. */
  readonly indirect: boolean;
}

export class LoadQueue implements Ring {
  readonly size: number;
  readonly descriptorAddress: number;
  readonly availableAddress: number;
  readonly usedAddress: number;
  readonly kickFd: number;
  readonly callFd: number;
  /** Requests completed. */
  completed = 0;
  /** Requests that were looked at and had failed. */
  failed = 0;
  /** Kicks that the device asked for. */
  kicks = 0;

  private readonly format: RequestFormat;
  private readonly eventIdx: boolean;
  private readonly mask: number;
  private readonly available: Uint16Array;
  private readonly used: Uint16Array;
  private readonly usedElements: Uint32Array;
  /** Three descriptors per slot: in the ring itself, or in an indirect table each. */
  private readonly descriptors: Uint32Array;
  /** Ring descriptors per slot. */
  private readonly stride: number;
  /** Headers and responses of all slots, each on cache lines of its own. */
  private readonly frames: Uint8Array;
  private readonly frameBytes: number;
  /** Milliseconds of the clock. */
  private readonly submitted: Float64Array;
  private readonly slotIsRead: Uint8Array;
  private sequence!: RequestSequence;
  private availableIndex = 0;
  private usedIndex = 0;

  constructor(memory: GuestMemory, options: LoadQueueOptions) {
    const { slots, pattern, format, eventIdx, indirect } = options;
    this.format = format;
    this.eventIdx = eventIdx;
    this.stride = indirect ? 1 : ROLES;
    this.size = Math.max(MIN_SIZE, 1 << (32 - Math.clz32(this.stride * slots - 1)));
    this.mask = this.size - 1;
    const availableBytes =
      AvailableRing.RING + AvailableRing.ENTRY_BYTES * this.size + AvailableRing.EVENT_BYTES;
    const usedBytes = UsedRing.RING + UsedRing.ENTRY_BYTES * this.size + UsedRing.EVENT_BYTES;
    // Page by page, so that what the driver writes and what the device writes share no cache line.
    this.descriptorAddress = memory.allocate(Descriptor.BYTES * this.size, PAGE);
    this.availableAddress = memory.allocate(availableBytes, PAGE);
    this.usedAddress = memory.allocate(usedBytes, Math.max(PAGE, RingAlignment.USED));
    const tables = indirect
      ? memory.allocate(ROLES * Descriptor.BYTES * slots, PAGE)
      : this.descriptorAddress;
    this.descriptors = memory.doubleWords(tables, WORDS_PER_DESCRIPTOR * ROLES * slots);
    if (indirect) this.pointAt(memory, tables, slots);
    this.available = memory.words(this.availableAddress, availableBytes / 2);
    this.used = memory.words(this.usedAddress, usedBytes / 2);
    this.usedElements = memory.doubleWords(this.usedAddress + UsedRing.RING, 2 * this.size);
    this.kickFd = checked(addon.eventfd(), 'make', 'a kick eventfd');
    this.callFd = checked(addon.eventfd(), 'make', 'a call eventfd');
    this.available.fill(0);
    this.available[FLAGS] = AVAILABLE_NO_INTERRUPT;
    this.submitted = new Float64Array(slots);
    this.slotIsRead = new Uint8Array(slots).fill(1);
    const headerBytes = Math.ceil(format.headerLength / CACHE_LINE) * CACHE_LINE;
    this.frameBytes = headerBytes + RESPONSE_SLOT;
    const frames = memory.allocate(this.frameBytes * slots, PAGE);
    this.frames = memory.bytes(frames, this.frameBytes * slots);
    const data = memory.allocate(pattern.requestBytes * slots, PAGE);
    // Touched once, as a guest's buffers are; a page fault per request is not what is to be measured.
    memory.bytes(data, pattern.requestBytes * slots).fill(0x5a);
    for (let slot = 0; slot < slots; slot++) {
      const frame = frames + this.frameBytes * slot;
      const base = ROLES * slot;
      this.place(base + Role.HEADER, frame, format.headerLength);
      this.place(base + Role.DATA, data + pattern.requestBytes * slot, pattern.requestBytes);
      this.place(base + Role.RESPONSE, frame + headerBytes, format.responseLength);
      const at = this.frameBytes * slot;
      format.prepare(this.frames.subarray(at, at + format.headerLength), slot + 1, pattern.requestBytes);
      this.link(slot, true);
    }
  }

  /** Puts all slots into the ring; none is in flight. */
  start(sequence: RequestSequence, now: number): void {
    this.sequence = sequence;
    const before = this.availableIndex;
    for (let slot = 0; slot < this.submitted.length; slot++) this.submit(slot, now);
    this.publish(before);
  }

  /**
   * Collects what is done, records its latency, and submits each slot anew (unless `draining`). `now` is the
   * clock in milliseconds. With `check` every response is looked at, which costs a cache miss each.
   */
  pass(now: number, histogram: Histogram, check: boolean, draining: boolean): void {
    const end = Atomics.load(this.used, INDEX);
    const before = this.availableIndex;
    let index = this.usedIndex;
    while (index !== end) {
      const slot = (this.usedElements[2 * (index & this.mask)] / this.stride) | 0;
      index = (index + 1) & 0xffff;
      histogram.record((now - this.submitted[slot]) * 1e6);
      this.completed++;
      if (check) this.check(slot);
      if (!draining) this.submit(slot, now);
    }
    this.usedIndex = end;
    // The device signals when it passes used_event; half the index space behind, it never does.
    if (this.eventIdx) this.available[RING + this.size] = (end + 0x8000) & 0xffff;
    if (this.availableIndex !== before) this.publish(before);
  }

  /** Whether a completion waits. */
  get ready(): boolean {
    return Atomics.load(this.used, INDEX) !== this.usedIndex;
  }

  get inFlight(): number {
    return (this.availableIndex - this.usedIndex) & 0xffff;
  }

  close(): void {
    addon.close(this.kickFd);
    addon.close(this.callFd);
  }

  private submit(slot: number, now: number): void {
    const isRead = this.sequence.nextIsRead();
    if (isRead !== (this.slotIsRead[slot] === 1)) this.link(slot, isRead);
    this.format.aim(this.frames, this.frameBytes * slot, isRead, this.sequence.nextOffset());
    this.submitted[slot] = now;
    this.available[RING + (this.availableIndex & this.mask)] = this.stride * slot;
    this.availableIndex = (this.availableIndex + 1) & 0xffff;
  }

  private publish(before: number): void {
    Atomics.store(this.available, INDEX, this.availableIndex);
    const wanted = this.eventIdx
      ? needsEvent(Atomics.load(this.used, RING + 4 * this.size), this.availableIndex, before)
      : (Atomics.load(this.used, FLAGS) & USED_NO_NOTIFY) === 0;
    if (!wanted) return;
    this.kicks++;
    addon.signal(this.kickFd);
  }

  private check(slot: number): void {
    const at = this.frameBytes * (slot + 1) - RESPONSE_SLOT;
    if (!this.format.succeeded(this.frames, at)) this.failed++;
  }

  /** Makes each ring descriptor name the indirect table of its slot. */
  private pointAt(memory: GuestMemory, tables: number, slots: number): void {
    const ring = memory.view(this.descriptorAddress, Descriptor.BYTES * this.size);
    const length = ROLES * Descriptor.BYTES;
    for (let slot = 0; slot < slots; slot++) {
      const address = tables + length * slot;
      writeDescriptor(ring, slot, { address, length, flags: DescriptorFlag.INDIRECT, next: 0 });
    }
  }

  /** Address and length of a descriptor: the parts that never change. */
  private place(descriptor: number, address: number, length: number): void {
    const at = WORDS_PER_DESCRIPTOR * descriptor;
    this.descriptors[at] = address;
    this.descriptors[at + 1] = Math.floor(address / 0x1_0000_0000);
    this.descriptors[at + 2] = length;
  }

  /** Chains a slot's descriptors in the order of its direction. */
  private link(slot: number, isRead: boolean): void {
    this.slotIsRead[slot] = isRead ? 1 : 0;
    const order = isRead ? this.format.readOrder : this.format.writeOrder;
    const base = ROLES * slot;
    // `next` counts within its own table.
    const nextBase = this.stride === ROLES ? base : 0;
    for (let i = 0; i < ROLES; i++) {
      const role = order[i];
      const writable = role === Role.RESPONSE || (role === Role.DATA && isRead);
      const last = i === ROLES - 1;
      const flags = (writable ? DescriptorFlag.WRITE : 0) | (last ? 0 : DescriptorFlag.NEXT);
      const next = last ? 0 : nextBase + order[i + 1];
      this.descriptors[WORDS_PER_DESCRIPTOR * (base + role) + FLAGS_AND_NEXT] = flags | (next << 16);
    }
  }
}
