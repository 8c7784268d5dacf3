/**
 * In-flight tracking of one packed ring. Used descriptors overwrite available ones, so the buffer keeps a copy of
 * every descriptor taken. Two sets of indices, old and new, tell a later process whether the batch that was under
 * way had been shown to the driver; see inflight-split.ts for what this is about.
 *
 * The front-end can write to the buffer at any time. So it is read in `recover` only; what is needed later is kept
 * in arrays of our own beside it.
 */
import { INFLIGHT_VERSION, PackedEntry, PackedRegion } from './inflight-spec.ts';
import { PackedDescriptor, PackedFlag } from './packed-virtqueue-spec.ts';
import { ProtocolError, VirtqueueError } from './protocol-error.ts';

/** Place and wrap counter in a packed ring. */
export interface RingPosition {
  readonly index: number;
  readonly wrap: boolean;
}

export interface PackedRecovery {
  /** Where the next used descriptor goes. */
  readonly used: RingPosition;
  /** Entries of unfinished chains, oldest first. */
  readonly entries: readonly number[];
  /** Descriptors of all of them. */
  readonly descriptors: number;
}

const WORDS_PER_DESCRIPTOR = PackedDescriptor.BYTES / 4;

export class InflightPacked {
  static byteLength(size: number): number {
    return PackedRegion.ENTRIES + size * PackedEntry.LENGTH;
  }

  private readonly size: number;
  private readonly view: DataView;
  private counter = 1;
  private freeHead = 0;
  /** By entry: the next one of the chain, or of the free list. */
  private readonly next: Uint16Array;
  /** By entry: the last one of the chain that starts there. */
  private readonly last: Uint16Array;
  /** First entries of chains completed since the last commit. */
  private readonly batch: Uint16Array;
  private batchCount = 0;

  /** `offset` in `buffer`, for a ring of `size` descriptors. */
  constructor(buffer: ArrayBufferLike, offset: number, size: number) {
    this.size = size;
    this.view = new DataView(buffer, offset, InflightPacked.byteLength(size));
    this.next = new Uint16Array(size);
    this.last = new Uint16Array(size);
    this.batch = new Uint16Array(size);
  }

  /** `count` descriptors at the start of `words` were taken as one chain; returns its entry. */
  take(words: Uint32Array, count: number): number {
    const first = this.freeHead;
    if (first >= this.size) throw new VirtqueueError('the in-flight buffer has no free entry');
    const order = this.counter++;
    this.setEntry(first, PackedEntry.COUNT, 0);
    this.view.setUint32(at(first, PackedEntry.COUNTER), order, true);
    this.view.setUint32(at(first, PackedEntry.COUNTER) + 4, order / 2 ** 32, true);
    this.view.setUint8(at(first, PackedEntry.INFLIGHT), 1);
    let free = first;
    for (let i = 0; i < count; i++) {
      if (free >= this.size) throw new VirtqueueError('the in-flight buffer has too few free entries');
      this.setEntry(first, PackedEntry.COUNT, i + 1);
      this.setEntry(first, PackedEntry.LAST, free);
      this.last[first] = free;
      this.copyIn(free, words, i * WORDS_PER_DESCRIPTOR);
      free = this.next[free];
      this.setU16(PackedRegion.FREE_HEAD, free);
    }
    this.setU16(PackedRegion.OLD_FREE_HEAD, free);
    this.freeHead = free;
    return first;
  }

  /** The last `take`, which returned `entry`, is undone. */
  untake(entry: number): void {
    this.view.setUint8(at(entry, PackedEntry.INFLIGHT), 0);
    this.setU16(PackedRegion.FREE_HEAD, entry);
    this.setU16(PackedRegion.OLD_FREE_HEAD, entry);
    this.freeHead = entry;
  }

  /** The chain is done; nothing is written before `prepare`, so that `take` finds the free list as it was. */
  complete(entry: number): void {
    this.batch[this.batchCount++] = entry;
  }

  /** The completed chains are about to be shown to the driver; the next used descriptor will go to `used`. */
  prepare(index: number, wrap: boolean): void {
    for (let i = 0; i < this.batchCount; i++) {
      const entry = this.batch[i];
      const last = this.last[entry];
      this.setEntry(last, PackedEntry.NEXT, this.freeHead);
      this.next[last] = this.freeHead;
      this.setU16(PackedRegion.FREE_HEAD, entry);
      this.freeHead = entry;
    }
    this.setU16(PackedRegion.USED_INDEX, index);
    this.view.setUint8(PackedRegion.USED_WRAP, wrap ? 1 : 0);
  }

  /** The driver can see them. */
  commit(): void {
    for (let i = 0; i < this.batchCount; i++) this.view.setUint8(at(this.batch[i], PackedEntry.INFLIGHT), 0);
    this.batchCount = 0;
    this.acceptBatch();
  }

  /**
   * What a ring that starts has to go on with; prepares an untouched buffer for one whose used descriptors go to
   * `used`. `flagsAt` reads the flags of the ring's descriptor at an index.
   */
  recover(used: RingPosition, flagsAt: (index: number) => number): PackedRecovery {
    const version = this.u16(PackedRegion.VERSION);
    if (version === 0) this.initialise(used);
    else if (version !== INFLIGHT_VERSION) {
      throw new ProtocolError(`inflight buffer of version ${version}, expected ${INFLIGHT_VERSION}`);
    }
    this.finishLastBatch(flagsAt);
    this.freeHead = this.u16(PackedRegion.FREE_HEAD);
    for (let entry = 0; entry < this.size; entry++) {
      this.next[entry] = this.entry(entry, PackedEntry.NEXT);
      this.last[entry] = this.entry(entry, PackedEntry.LAST);
    }
    this.clearFree();
    const chains = this.unfinished();
    const newest = chains.at(-1)?.order ?? 0;
    this.counter = newest < 2 ** 52 ? newest + 1 : 1;
    const descriptors = chains.reduce((sum, { count }) => sum + count, 0);
    if (descriptors > this.size) {
      throw new ProtocolError(`inflight buffer with ${descriptors} descriptors in a ring of ${this.size}`);
    }
    const index = this.u16(PackedRegion.USED_INDEX);
    if (index >= this.size)
      throw new ProtocolError(`inflight buffer with used index ${index} of ${this.size}`);
    const wrap = this.view.getUint8(PackedRegion.USED_WRAP) !== 0;
    return { used: { index, wrap }, entries: chains.map(({ entry }) => entry), descriptors };
  }

  /** Copies the descriptors of a chain that `recover` named to the start of `words`; returns how many they are. */
  copyOut(entry: number, words: Uint32Array): number {
    const count = Math.min(this.entry(entry, PackedEntry.COUNT), this.size);
    let from = entry;
    for (let i = 0; i < count; i++) {
      if (from >= this.size) throw new VirtqueueError(`the in-flight buffer names entry ${from}`);
      const to = i * WORDS_PER_DESCRIPTOR;
      words[to] = this.view.getUint32(at(from, PackedEntry.ADDRESS), true);
      words[to + 1] = this.view.getUint32(at(from, PackedEntry.ADDRESS) + 4, true);
      words[to + 2] = this.view.getUint32(at(from, PackedEntry.DESCRIPTOR_LENGTH), true);
      words[to + 3] = this.entry(from, PackedEntry.ID) | (this.entry(from, PackedEntry.FLAGS) << 16);
      from = this.next[from];
    }
    return count;
  }

  private initialise({ index, wrap }: RingPosition): void {
    for (let i = 0; i < this.size; i++) this.setEntry(i, PackedEntry.NEXT, i + 1);
    this.setU16(PackedRegion.FREE_HEAD, 0);
    this.setU16(PackedRegion.DESCRIPTOR_COUNT, this.size);
    this.setU16(PackedRegion.USED_INDEX, index);
    this.view.setUint8(PackedRegion.USED_WRAP, wrap ? 1 : 0);
    this.acceptBatch();
    this.setU16(PackedRegion.VERSION, INFLIGHT_VERSION);
  }

  /** The process died between `prepare` and `commit`: did the driver see the batch? */
  private finishLastBatch(flagsAt: (index: number) => number): void {
    const old = this.u16(PackedRegion.OLD_USED_INDEX);
    if (old >= this.size) throw new ProtocolError(`inflight buffer with used index ${old} of ${this.size}`);
    const oldWrap = this.view.getUint8(PackedRegion.OLD_USED_WRAP) !== 0;
    const stillAvailable = isAvailable(flagsAt(old), oldWrap);
    const wrap = this.view.getUint8(PackedRegion.USED_WRAP) !== 0;
    const moved = this.u16(PackedRegion.USED_INDEX) !== old || wrap !== oldWrap;
    if (moved && !stillAvailable) this.acceptBatch();
    this.setU16(PackedRegion.FREE_HEAD, this.u16(PackedRegion.OLD_FREE_HEAD));
    this.setU16(PackedRegion.USED_INDEX, this.u16(PackedRegion.OLD_USED_INDEX));
    this.view.setUint8(PackedRegion.USED_WRAP, this.view.getUint8(PackedRegion.OLD_USED_WRAP));
  }

  /** Entries in the free list are not in flight, whatever their mark says. */
  private clearFree(): void {
    let entry = this.u16(PackedRegion.FREE_HEAD);
    for (let i = 0; i < this.size && entry < this.size; i++) {
      this.view.setUint8(at(entry, PackedEntry.INFLIGHT), 0);
      entry = this.next[entry];
    }
  }

  private unfinished(): { entry: number; order: number; count: number }[] {
    const found: { entry: number; order: number; count: number }[] = [];
    for (let entry = 0; entry < this.size; entry++) {
      if (this.view.getUint8(at(entry, PackedEntry.INFLIGHT)) === 0) continue;
      const low = this.view.getUint32(at(entry, PackedEntry.COUNTER), true);
      const high = this.view.getUint32(at(entry, PackedEntry.COUNTER) + 4, true);
      if (this.last[entry] >= this.size)
        throw new ProtocolError(`inflight buffer names entry ${this.last[entry]}`);
      found.push({ entry, order: high * 2 ** 32 + low, count: this.entry(entry, PackedEntry.COUNT) });
    }
    return found.sort((a, b) => a.order - b.order);
  }

  private acceptBatch(): void {
    this.setU16(PackedRegion.OLD_FREE_HEAD, this.u16(PackedRegion.FREE_HEAD));
    this.setU16(PackedRegion.OLD_USED_INDEX, this.u16(PackedRegion.USED_INDEX));
    this.view.setUint8(PackedRegion.OLD_USED_WRAP, this.view.getUint8(PackedRegion.USED_WRAP));
  }

  private copyIn(entry: number, words: Uint32Array, from: number): void {
    this.view.setUint32(at(entry, PackedEntry.ADDRESS), words[from], true);
    this.view.setUint32(at(entry, PackedEntry.ADDRESS) + 4, words[from + 1], true);
    this.view.setUint32(at(entry, PackedEntry.DESCRIPTOR_LENGTH), words[from + 2], true);
    this.setEntry(entry, PackedEntry.ID, words[from + 3]);
    this.setEntry(entry, PackedEntry.FLAGS, words[from + 3] >>> 16);
  }

  private u16(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  private setU16(offset: number, value: number): void {
    this.view.setUint16(offset, value, true);
  }

  private entry(entry: number, field: number): number {
    return this.view.getUint16(at(entry, field), true);
  }

  private setEntry(entry: number, field: number, value: number): void {
    this.view.setUint16(at(entry, field), value, true);
  }
}

/** 2.8.1: available are descriptors whose AVAIL bit is the wrap counter, and whose USED bit is not. */
export function isAvailable(flags: number, wrap: boolean): boolean {
  const availBit = (flags & PackedFlag.AVAIL) !== 0;
  const usedBit = (flags & PackedFlag.USED) !== 0;
  return availBit === wrap && usedBit !== wrap;
}

function at(entry: number, field: number): number {
  return PackedRegion.ENTRIES + entry * PackedEntry.LENGTH + field;
}
