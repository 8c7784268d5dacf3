/**
 * The device's side of a packed virtqueue (virtio 1.2, 2.8): one ring of descriptors that the driver makes
 * available and the device overwrites with used ones. See split-virtqueue.ts for what it relies on: everything is
 * read once, and `Atomics` order what has to be ordered. Here that is the flags of a descriptor, which come last
 * on the driver's side and are read first on ours; and the other way round for used ones.
 *
 * Within a batch, the first used descriptor's flags are written last: until then the driver, which looks at its
 * next descriptor only, sees none of them, and so it sees all of them at once.
 */
import type { AddressSpace } from './address-space.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { DirtyLog } from './dirty-log.ts';
import { type GuestViews, Staging } from './guest-views.ts';
import { IndirectTable } from './indirect-table.ts';
import { type InflightPacked, isAvailable, type RingPosition } from './inflight-packed.ts';
import { EventFlag, EventSuppression, PackedDescriptor, PackedFlag } from './packed-virtqueue-spec.ts';
import { VirtqueueError } from './protocol-error.ts';
import { PackedVringBase } from './vhost-user-spec.ts';
import { CHAIN_LIMIT, type Virtqueue } from './virtqueue.ts';

/** Indices of 32-bit and of 16-bit words. */
const WORDS = PackedDescriptor.BYTES / 4;
const LENGTH = PackedDescriptor.LENGTH / 4;
/** Buffer id in the low half, flags in the high one. */
const ID_AND_FLAGS = PackedDescriptor.ID / 4;
const HALF_WORDS = PackedDescriptor.BYTES / 2;
const FLAGS = PackedDescriptor.FLAGS / 2;
/** Offset and wrap counter in the low half of an event suppression, flags in the high one. */
const EVENT_FLAGS_SHIFT = EventSuppression.FLAGS * 8;
const USED_BITS = PackedFlag.AVAIL | PackedFlag.USED;

export interface PackedVirtqueueOptions {
  readonly size: number;
  /** The ring twice: as 32-bit and as 16-bit words. */
  readonly descriptors: Uint32Array;
  readonly descriptorHalves: Uint16Array;
  /** One word each. */
  readonly driverEvent: Uint32Array;
  readonly deviceEvent: Uint32Array;
  /** Where the ring is, guest-physical; for migrations. */
  readonly guestAddress: number;
  readonly space: AddressSpace;
  readonly guest: GuestViews;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
  /** As in SET_VRING_BASE: both indices with their wrap counters. */
  readonly base: number;
  readonly inflight?: InflightPacked;
}

export class PackedVirtqueue implements Virtqueue {
  readonly size: number;
  inFlight = 0;
  private readonly descriptors: Uint32Array;
  private readonly halves: Uint16Array;
  private readonly driverEvent: Uint32Array;
  private readonly deviceEvent: Uint32Array;
  private readonly guestAddress: number;
  private readonly eventIndex: boolean;
  private readonly indirectAllowed: boolean;
  private readonly indirect: IndirectTable;
  private readonly inflight: InflightPacked | undefined;
  private available: number;
  private availableWrap: boolean;
  private used: number;
  private usedWrap: boolean;
  /** Descriptors of all chains taken and not returned: never more than the ring has. */
  private descriptorsTaken = 0;
  /** By buffer id: how many descriptors its chain has; 0 for those that were not taken. */
  private readonly counts: Uint16Array;
  /** Likewise, what its chain costs. */
  private readonly costs: Uint16Array;
  /** By buffer id: the chain's entry in the in-flight buffer. */
  private readonly entries: Uint16Array;
  /** The chain's descriptors, as they were read. */
  private readonly copy: Staging;
  /** Places of used descriptors that the driver cannot see yet, and their flags. */
  private readonly unseen: Uint16Array;
  private readonly unseenFlags: Uint16Array;
  private unseenCount = 0;
  /** Ring places that the unseen used descriptors stand for. */
  private unseenPlaces = 0;
  /** Before the first signal nobody knows what the driver has seen. */
  private signalled = false;
  /** The driver wants to be signalled for something that it was shown, and `publish` has not said so yet. */
  private wanted = false;

  constructor(options: PackedVirtqueueOptions) {
    const { size, base } = options;
    this.size = size;
    this.descriptors = options.descriptors;
    this.halves = options.descriptorHalves;
    this.driverEvent = options.driverEvent;
    this.deviceEvent = options.deviceEvent;
    this.guestAddress = options.guestAddress;
    this.eventIndex = options.eventIndex;
    this.indirectAllowed = options.indirect;
    this.indirect = new IndirectTable(options.space, options.guest, CHAIN_LIMIT);
    this.inflight = options.inflight;
    this.available = base & PackedVringBase.AVAIL_MASK;
    this.availableWrap = (base & PackedVringBase.AVAIL_WRAP) !== 0;
    this.used = (base >>> PackedVringBase.USED_SHIFT) & PackedVringBase.AVAIL_MASK;
    this.usedWrap = ((base >>> PackedVringBase.USED_SHIFT) & PackedVringBase.AVAIL_WRAP) !== 0;
    if (this.available >= size || this.used >= size) {
      throw new VirtqueueError(`ring of ${size} that starts at ${this.available} and ${this.used}`);
    }
    this.counts = new Uint16Array(size);
    this.costs = new Uint16Array(size);
    this.entries = new Uint16Array(size);
    this.copy = new Staging(size * PackedDescriptor.BYTES);
    this.unseen = new Uint16Array(size);
    this.unseenFlags = new Uint16Array(size);
  }

  get base(): number {
    const available = this.available | (this.availableWrap ? PackedVringBase.AVAIL_WRAP : 0);
    const used = this.used | (this.usedWrap ? PackedVringBase.AVAIL_WRAP : 0);
    return (available | (used << PackedVringBase.USED_SHIFT)) >>> 0;
  }

  get hasAvailable(): boolean {
    return this.nextIsAvailable();
  }

  recover(): number[] {
    if (this.inflight === undefined) return [];
    const used: RingPosition = { index: this.used, wrap: this.usedWrap };
    const found = this.inflight.recover(used, (index) => this.halves[index * HALF_WORDS + FLAGS]);
    this.used = found.used.index;
    this.usedWrap = found.used.wrap;
    const available = found.used.index + found.descriptors;
    const wrapped = available >= this.size;
    this.available = wrapped ? available - this.size : available;
    this.availableWrap = found.used.wrap !== wrapped;
    this.hideUnseen(found.descriptors);
    return [...found.entries];
  }

  /**
   * Who died while it showed a batch had written the flags behind the batch's first already. The driver has not looked
   * there, and must not find the old chains' ends once it comes by: others may stand there by then.
   */
  private hideUnseen(places: number): void {
    let place = this.used;
    let wrap = this.usedWrap;
    for (let i = 0; i < places; i++) {
      const at = place * HALF_WORDS + FLAGS;
      if (!isAvailable(this.halves[at], wrap)) {
        Atomics.store(this.halves, at, wrap ? PackedFlag.AVAIL : PackedFlag.USED);
      }
      place = place + 1 === this.size ? 0 : place + 1;
      if (place === 0) wrap = !wrap;
    }
  }

  pop(chain: DescriptorChain): boolean {
    if (!this.nextIsAvailable()) return false;
    const count = this.copyChain();
    const id = this.takeCopy(count, chain);
    if (this.inflight !== undefined) this.track(this.inflight, id, count);
    this.available += count;
    if (this.available >= this.size) {
      this.available -= this.size;
      this.availableWrap = !this.availableWrap;
    }
    return true;
  }

  resubmit(entry: number, chain: DescriptorChain): void {
    const count = this.inflight!.copyOut(entry, this.copy.words);
    if (count === 0) throw new VirtqueueError('the in-flight buffer has a chain without descriptors');
    this.entries[this.takeCopy(count, chain)] = entry;
  }

  undo(id: number): number {
    this.available -= this.counts[id];
    if (this.available < 0) {
      this.available += this.size;
      this.availableWrap = !this.availableWrap;
    }
    this.inflight?.untake(this.entries[id]);
    return this.drop(id);
  }

  drop(id: number): number {
    const count = this.counts[id];
    if (count === 0) return 0;
    this.descriptorsTaken -= count;
    this.counts[id] = 0;
    this.inFlight--;
    return this.costs[id];
  }

  push(id: number, written: number): number {
    const count = this.counts[id];
    const cost = this.drop(id);
    const at = this.used * WORDS;
    this.descriptors[at + LENGTH] = written;
    this.halves[this.used * HALF_WORDS + FLAGS - 1] = id;
    // 2.8.7: a used descriptor has the WRITE flag when something was written.
    this.unseenFlags[this.unseenCount] =
      (this.usedWrap ? USED_BITS : 0) | (written > 0 ? PackedFlag.WRITE : 0);
    this.unseen[this.unseenCount++] = this.used;
    this.unseenPlaces += count;
    this.used += count;
    if (this.used >= this.size) {
      this.used -= this.size;
      this.usedWrap = !this.usedWrap;
    }
    this.inflight?.complete(this.entries[id]);
    return cost;
  }

  publish(more: boolean): boolean {
    if (this.unseenCount > 0 && this.show()) this.wanted = true;
    if (more) return false;
    const { wanted } = this;
    this.wanted = false;
    return wanted;
  }

  /** Shows the driver what was pushed; whether it wants to be signalled for that. */
  private show(): boolean {
    const { unseen, unseenFlags, halves } = this;
    this.inflight?.prepare(this.used, this.usedWrap);
    for (let i = this.unseenCount - 1; i >= 0; i--) {
      Atomics.store(halves, unseen[i] * HALF_WORDS + FLAGS, unseenFlags[i]);
    }
    this.inflight?.commit();
    const places = this.unseenPlaces;
    this.unseenCount = 0;
    this.unseenPlaces = 0;
    return this.wantsSignal(places);
  }

  markWritten(log: DirtyLog, logAddress: number): void {
    log.mark(logAddress, EventSuppression.BYTES);
    log.mark(this.guestAddress, this.size * PackedDescriptor.BYTES);
  }

  pauseKicks(): void {
    this.deviceEvent[0] = EventFlag.DISABLE << EVENT_FLAGS_SHIFT;
  }

  awaitKicks(): boolean {
    const place = this.available | (this.availableWrap ? EventSuppression.WRAP : 0);
    const flag = this.eventIndex ? EventFlag.DESCRIPTOR : EventFlag.ENABLE;
    Atomics.store(this.deviceEvent, 0, place | (flag << EVENT_FLAGS_SHIFT));
    return this.nextIsAvailable();
  }

  private nextIsAvailable(): boolean {
    return isAvailable(Atomics.load(this.halves, this.available * HALF_WORDS + FLAGS), this.availableWrap);
  }

  private track(inflight: InflightPacked, id: number, count: number): void {
    try {
      this.entries[id] = inflight.take(this.copy.words, count);
    } catch (error) {
      // Nobody will get this chain, so nobody would give it back.
      this.drop(id);
      throw error;
    }
  }

  /** Copies the next chain's descriptors, all of them once; returns how many they are. */
  private copyChain(): number {
    const { descriptors, size } = this;
    const { words } = this.copy;
    let from = this.available;
    for (let count = 0; count < size - this.descriptorsTaken; count++) {
      for (let k = 0; k < WORDS; k++) words[count * WORDS + k] = descriptors[from * WORDS + k];
      if (((words[count * WORDS + ID_AND_FLAGS] >>> 16) & PackedFlag.NEXT) === 0) return count + 1;
      from = from + 1 === size ? 0 : from + 1;
    }
    throw new VirtqueueError(`descriptor chain that fills the ring of ${size} and goes on`);
  }

  /** Makes a chain of the first `count` descriptors in `copy`; returns its buffer id. */
  private takeCopy(count: number, chain: DescriptorChain): number {
    const { words } = this.copy;
    const id = words[(count - 1) * WORDS + ID_AND_FLAGS] & 0xffff;
    if (id >= this.size) throw new VirtqueueError(`buffer id ${id} in a ring of ${this.size}`);
    if (this.counts[id] !== 0) throw new VirtqueueError(`buffer id ${id} is in use already`);
    chain.head = id;
    chain.clear();
    for (let i = 0; i < count; i++) {
      const flags = words[i * WORDS + ID_AND_FLAGS] >>> 16;
      if ((flags & PackedFlag.INDIRECT) === 0) {
        chain.append(words, i * WORDS, (flags & PackedFlag.WRITE) !== 0);
      } else if (!this.indirectAllowed) {
        throw new VirtqueueError('indirect descriptor that was not negotiated');
      } else if (i !== count - 1) {
        throw new VirtqueueError('indirect descriptor that is not the last one');
      } else this.takeTable(i * WORDS, chain);
    }
    chain.ended();
    this.counts[id] = count;
    this.costs[id] = chain.cost;
    this.descriptorsTaken += count;
    this.inFlight++;
    return id;
  }

  /** 2.8.8: in an indirect table all descriptors count, in their order; of their flags, WRITE only. */
  private takeTable(at: number, chain: DescriptorChain): void {
    const table = this.indirect;
    table.open(this.copy.words, at);
    for (let i = 0; i < table.count; i++) {
      const from = table.base + i * WORDS;
      const flags = table.words[from + ID_AND_FLAGS] >>> 16;
      if ((flags & PackedFlag.INDIRECT) !== 0) throw new VirtqueueError('indirect descriptor inside a table');
      chain.append(table.words, from, (flags & PackedFlag.WRITE) !== 0);
    }
  }

  /** 2.8.10: whether the driver wants to hear of the last `places` ring places. */
  private wantsSignal(places: number): boolean {
    const event = Atomics.load(this.driverEvent, 0);
    const first = !this.signalled;
    switch ((event >>> EVENT_FLAGS_SHIFT) & EventFlag.MASK) {
      case EventFlag.DISABLE:
        return false;
      case EventFlag.DESCRIPTOR: {
        if (!this.eventIndex) return true;
        this.signalled = true;
        let place = event & (EventSuppression.WRAP - 1);
        // An event of the round before is behind us by the whole ring.
        if (((event & EventSuppression.WRAP) !== 0) !== this.usedWrap) place -= this.size;
        return first || ((this.used - place - 1) & 0xffff) < places;
      }
      default:
        return true;
    }
  }
}
