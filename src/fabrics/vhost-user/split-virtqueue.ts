/**
 * The device's side of a split virtqueue (virtio 1.2, 2.7), on memory that the driver may change at any moment:
 * every field is read once, and what was read is what is checked and used.
 *
 * Ordering. The driver fills a ring entry before it moves `avail.idx`, and the device fills a used entry before
 * it moves `used.idx`; so these indices are read with acquire and written with release ordering, and a full
 * fence stands between writing `used.idx` and reading `used_event` (else both sides may decide that the other
 * one will look), as between writing `avail_event` and reading `avail.idx`. `Atomics` on arrays that are not
 * shared is, to the language, plain access; V8 compiles it to the same sequentially consistent instructions as
 * for shared ones (xchg on x86, stlr and ldar on arm64), in every version that lunport supports, and the tests
 * with a driver in another process depend on it. They are calls into V8, though. On x64 all processors see a core's
 * loads and stores in their order, but a load may pass a store before it: there, what is no fence is plain access.
 */
import type { AddressSpace } from './address-space.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import type { DirtyLog } from './dirty-log.ts';
import type { GuestViews } from './guest-views.ts';
import { IndirectTable } from './indirect-table.ts';
import type { InflightSplit } from './inflight-split.ts';
import { VirtqueueError } from './protocol-error.ts';
import {
  AVAILABLE_NO_INTERRUPT,
  AvailableRing,
  Descriptor,
  DescriptorFlag,
  USED_NO_NOTIFY,
  UsedRing,
} from './split-virtqueue-spec.ts';
import { CHAIN_LIMIT, type Virtqueue } from './virtqueue.ts';

// Indices of 16-bit words in the rings.
const FLAGS = AvailableRing.FLAGS / 2;
const INDEX = AvailableRing.INDEX / 2;
const AVAILABLE_ENTRIES = AvailableRing.RING / 2;
/** Index of 32-bit words. */
const USED_ENTRIES = UsedRing.RING / 4;
const DESCRIPTOR_WORDS = Descriptor.BYTES / 4;
const FLAGS_AND_NEXT = Descriptor.FLAGS / 4;
const { NEXT, WRITE, INDIRECT } = DescriptorFlag;
/** Whether plain loads acquire and plain stores release. */
const IN_ORDER = process.arch === 'x64';
/** Of `follow`. */
const ENDED = -1;

/** The ring's three parts as views of guest memory, and what was negotiated. */
export interface SplitVirtqueueOptions {
  /** A power of two. */
  readonly size: number;
  readonly descriptors: Uint32Array;
  readonly available: Uint16Array;
  /** The used ring twice: for indices and flags, and for entries. */
  readonly used: Uint16Array;
  readonly usedEntries: Uint32Array;
  readonly space: AddressSpace;
  readonly guest: GuestViews;
  readonly eventIndex: boolean;
  /** Legacy: when nothing is left to do the driver is signalled, whatever it wants. */
  readonly notifyOnEmpty: boolean;
  readonly indirect: boolean;
  /** Index in the avail ring to go on from, as SET_VRING_BASE says. */
  readonly base: number;
  readonly inflight?: InflightSplit;
}

export class SplitVirtqueue implements Virtqueue {
  readonly size: number;
  inFlight = 0;
  private readonly mask: number;
  private readonly descriptors: Uint32Array;
  private readonly available: Uint16Array;
  private readonly used: Uint16Array;
  private readonly usedEntries: Uint32Array;
  private readonly eventIndex: boolean;
  private readonly notifyOnEmpty: boolean;
  private readonly indirectAllowed: boolean;
  private readonly indirect: IndirectTable;
  private readonly inflight: InflightSplit | undefined;
  /** Word indices of the event fields. */
  private readonly usedEvent: number;
  private readonly availableEvent: number;
  /** Next avail entry to take, and the driver's index as last read; both modulo 2^16. */
  private nextAvailable: number;
  private driverIndex: number;
  /** Next used entry to fill, and what the driver was shown. */
  private nextUsed: number;
  private published: number;
  /** What the driver had been shown when it was last asked whether it wants a signal. */
  private asked: number;
  /** Before the first signal nobody knows what the driver has seen. */
  private signalled = false;
  /** By head: what its chain costs; 0 for those that are not taken, as the driver may offer each only once. */
  private readonly costs: Uint16Array;

  constructor(options: SplitVirtqueueOptions) {
    const { size } = options;
    this.size = size;
    this.mask = size - 1;
    this.descriptors = options.descriptors;
    this.available = options.available;
    this.used = options.used;
    this.usedEntries = options.usedEntries;
    this.eventIndex = options.eventIndex;
    this.notifyOnEmpty = options.notifyOnEmpty;
    this.indirectAllowed = options.indirect;
    this.indirect = new IndirectTable(options.space, options.guest, CHAIN_LIMIT);
    this.inflight = options.inflight;
    this.usedEvent = AVAILABLE_ENTRIES + size;
    this.availableEvent = (UsedRing.RING + UsedRing.ENTRY_BYTES * size) / 2;
    this.nextAvailable = options.base & 0xffff;
    this.driverIndex = this.nextAvailable;
    this.nextUsed = acquire(this.used, INDEX);
    this.published = this.nextUsed;
    this.asked = this.nextUsed;
    this.costs = new Uint16Array(size);
  }

  get base(): number {
    return this.nextAvailable;
  }

  get hasAvailable(): boolean {
    // `pop` looks again, in order.
    return this.available[INDEX] !== this.nextAvailable;
  }

  /**
   * For a ring that starts: heads of chains that an earlier process had taken and not returned, oldest first.
   * With in-flight tracking, what was taken decides where to go on; the front-end may know only what was used.
   */
  recover(): number[] {
    if (this.inflight === undefined) return [];
    const heads = this.inflight.recover(this.nextUsed);
    this.nextAvailable = (this.nextUsed + heads.length) & 0xffff;
    this.driverIndex = this.nextAvailable;
    return heads;
  }

  pop(chain: DescriptorChain): boolean {
    if (this.nextAvailable === this.driverIndex && !this.refresh()) return false;
    const head = this.available[AVAILABLE_ENTRIES + (this.nextAvailable & this.mask)];
    this.take(head, chain);
    this.nextAvailable = (this.nextAvailable + 1) & 0xffff;
    this.inflight?.take(head);
    return true;
  }

  /** Takes a chain that an earlier process had taken and not finished; it is not in the avail ring any more. */
  resubmit(head: number, chain: DescriptorChain): void {
    this.take(head, chain);
  }

  undo(head: number): number {
    this.nextAvailable = (this.nextAvailable - 1) & 0xffff;
    this.inflight?.untake(head);
    return this.drop(head);
  }

  drop(head: number): number {
    const { costs } = this;
    const cost = costs[head];
    if (cost === 0) return 0;
    costs[head] = 0;
    this.inFlight--;
    return cost;
  }

  push(head: number, written: number): number {
    const cost = this.drop(head);
    const at = USED_ENTRIES + (this.nextUsed & this.mask) * 2;
    this.usedEntries[at] = head;
    this.usedEntries[at + 1] = written;
    this.nextUsed = (this.nextUsed + 1) & 0xffff;
    this.inflight?.complete(head);
    return cost;
  }

  publish(more: boolean): boolean {
    const before = this.asked;
    const now = this.nextUsed;
    if (now === before) return false;
    // A fence waits until all lines that were written have come from the driver's core: it is for who asks.
    if (more && IN_ORDER) this.used[INDEX] = now;
    else Atomics.store(this.used, INDEX, now);
    if (now !== this.published) {
      this.published = now;
      this.inflight?.commit(now);
    }
    if (more) return false;
    this.asked = now;
    return this.wantsSignal(before, now) || (this.notifyOnEmpty && this.isEmpty());
  }

  private wantsSignal(before: number, now: number): boolean {
    if (!this.eventIndex) return (acquire(this.available, FLAGS) & AVAILABLE_NO_INTERRUPT) === 0;
    const event = acquire(this.available, this.usedEvent);
    if (!this.signalled) {
      this.signalled = true;
      return true;
    }
    // 2.7.7.2: whether the index that the driver waits for is among those just published.
    return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
  }

  private isEmpty(): boolean {
    return this.inFlight === 0 && acquire(this.available, INDEX) === this.nextAvailable;
  }

  pauseKicks(): void {
    // With EVENT_IDX there is nothing to do: avail_event stays behind, and the driver does not kick again.
    if (!this.eventIndex) this.used[FLAGS] = USED_NO_NOTIFY;
  }

  awaitKicks(): boolean {
    if (this.eventIndex) Atomics.store(this.used, this.availableEvent, this.nextAvailable);
    else Atomics.store(this.used, FLAGS, 0);
    return acquire(this.available, INDEX) !== this.nextAvailable;
  }

  markWritten(log: DirtyLog, logAddress: number): void {
    log.mark(logAddress, this.used.byteLength);
  }

  /** Reads the driver's index; false when nothing is new. */
  private refresh(): boolean {
    const index = acquire(this.available, INDEX);
    const pending = (index - this.nextAvailable) & 0xffff;
    if (pending === 0) return false;
    if (pending > this.size) {
      throw new VirtqueueError(
        `avail index ${index} is ${pending} ahead of ${this.nextAvailable} in a ring of ${this.size}`,
      );
    }
    this.driverIndex = index;
    return true;
  }

  private take(head: number, chain: DescriptorChain): void {
    if (head >= this.size) throw new VirtqueueError(`descriptor ${head} in a ring of ${this.size}`);
    if (this.costs[head] !== 0) throw new VirtqueueError(`descriptor ${head} is in use already`);
    chain.head = head;
    chain.clear();
    const at = follow(this.descriptors, 0, this.size, head, chain);
    if (at !== ENDED) this.followIndirect(at, chain);
    chain.ended();
    this.costs[head] = chain.cost;
    this.inFlight++;
  }

  /** Follows the table that the descriptor at word `at` of the ring points to: the end of the chain. */
  private followIndirect(at: number, chain: DescriptorChain): void {
    const { indirect: table, descriptors } = this;
    if (!this.indirectAllowed) throw new VirtqueueError('indirect descriptor, which was not negotiated');
    table.open(descriptors, at);
    if (follow(table.words, table.base, table.count, 0, chain) !== ENDED) {
      throw new VirtqueueError('indirect descriptor inside a table');
    }
  }
}

/**
 * Follows a chain within one table of `count` descriptors that starts at word `base`. Returns the word at which the
 * chain's last descriptor stands if it is an indirect one, else `ENDED`.
 */
function follow(
  words: Uint32Array,
  base: number,
  count: number,
  first: number,
  chain: DescriptorChain,
): number {
  let index = first;
  for (let steps = 0; steps < count; steps++) {
    const at = (base + index * DESCRIPTOR_WORDS) | 0;
    const flagsAndNext = words[(at + FLAGS_AND_NEXT) | 0];
    if ((flagsAndNext & INDIRECT) !== 0) {
      if ((flagsAndNext & NEXT) !== 0) {
        throw new VirtqueueError('indirect descriptor that is not the last one');
      }
      return at;
    }
    chain.append(words, at, (flagsAndNext & WRITE) !== 0);
    if ((flagsAndNext & NEXT) === 0) return ENDED;
    index = flagsAndNext >>> 16;
    if (index >= count) throw new VirtqueueError(`next descriptor ${index} in a table of ${count}`);
  }
  throw new VirtqueueError(`descriptor chain loops in a table of ${count}`);
}

function acquire(words: Uint16Array, at: number): number {
  return IN_ORDER ? words[at] : Atomics.load(words, at);
}
