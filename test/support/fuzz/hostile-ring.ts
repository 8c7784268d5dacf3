/**
 * A guest's memory with one ring in it that is hostile: descriptors, indirect tables and indexes like a driver's, with
 * something wrong now and then, split or packed, for a SCSI host or a block device. It remembers which bytes it gave to
 * the device and which it wrote itself: all memory is noise, and a second copy of it has what the driver wrote, so that
 * every byte in which the two differ was written by the device.
 */
import { GuestMemory } from '../vhost-user/guest-memory.ts';
import type { Chance } from './chance.ts';

const MEBIBYTE = 1 << 20;
/** Bytes of guest memory, which begins at address 0. */
export const MEMORY = 2 * MEBIBYTE;
/** Where the parts of a ring are; from `buffers` on there are buffers and canaries only. */
export const PARTS = {
  descriptors: 0x1000,
  available: 0x5000,
  used: 0x6000,
  tables: 0x8000,
  buffers: 0x10000,
} as const;
const MAX_SIZE = 256;
const F_NEXT = 1;
const F_WRITE = 2;
const F_INDIRECT = 4;
const F_AVAIL = 1 << 7;
const F_USED = 1 << 15;

interface Descriptor {
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  readonly flags: number;
}

export class HostileRing {
  readonly memory = new GuestMemory([{ guestAddress: 0, length: MEMORY }]);
  readonly bytes = this.memory.bytes(0, MEMORY);
  /** What memory would hold if the device had written nothing. */
  readonly shadow = new Uint8Array(MEMORY);
  /** Buffers that the device may write, by the addresses that the driver used: [address, bytes]. */
  readonly given: [number, number][] = [];
  /** What of the ring itself it may write. */
  readonly parts: readonly [number, number][];
  readonly packed: boolean;
  readonly blk: boolean;
  readonly size: number;
  /** Whether the driver itself still knows which places of a packed ring belong to which chain. */
  orderly = true;
  private readonly chance: Chance;
  private readonly views = [this.memory.view(0, MEMORY), new DataView(this.shadow.buffer)] as const;
  /** The split ring's available index. */
  private offered = 0;
  /** A packed ring's next place to fill, with the wrap counter there, and the oldest chain that is not used. */
  private place = 0;
  private wrap = true;
  private oldest = 0;
  private oldestWrap = true;
  private free: number;
  /** Of the chain that is being made. */
  private id = 0;
  /** Descriptors of a packed ring's chains, by buffer id. */
  private readonly counts = new Map<number, number>();

  constructor(chance: Chance, blk: boolean) {
    this.chance = chance;
    this.blk = blk;
    this.packed = chance.oneIn(2);
    this.size = chance.pick([1, 2, 8, 16, 64, 128, MAX_SIZE]);
    this.free = this.size;
    const noise = new Uint32Array(this.shadow.buffer, PARTS.buffers);
    for (let i = 0, state = chance.below(2 ** 32); i < noise.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      noise[i] = state;
    }
    this.bytes.set(this.shadow);
    const used: [number, number] = [PARTS.used, 8 * this.size + 6];
    // Either event area of a packed ring may be the device's.
    this.parts = this.packed ? [used, [PARTS.descriptors, 16 * this.size], [PARTS.available, 4]] : [used];
  }

  /** Makes more requests available, as a driver that runs does. */
  fill(): void {
    if (this.packed) this.fillPacked();
    else this.fillSplit();
  }

  private fillSplit(): void {
    const { chance, size } = this;
    const heads: number[] = [];
    for (let next = 0; next < size && heads.length < 24; ) {
      heads.push(next);
      next = this.chain(next, size - next);
      if (chance.oneIn(10)) break;
    }
    this.u16(PARTS.available, chance.below(2));
    for (const head of heads) {
      const entry = chance.oneIn(60) ? chance.below(0x10000) : head;
      this.u16(PARTS.available + 4 + 2 * (this.offered % size), entry);
      this.offered = (this.offered + 1) & 0xffff;
    }
    this.u16(PARTS.available + 4 + 2 * size, chance.below(0x10000));
    this.u16(PARTS.available + 2, chance.oneIn(40) ? chance.below(0x10000) : this.offered);
  }

  private fillPacked(): void {
    const { chance, size } = this;
    this.collectUsed();
    for (let chains = 0; this.free > 0 && chains < 24; chains++) {
      const first = this.place;
      // Chains are used out of their order: a place may be free again while its old number is not.
      for (this.id = 0; this.counts.has(this.id); ) this.id++;
      const count = this.chain(first, this.free) - first;
      this.counts.set(this.id, count);
      this.free -= count;
      for (let i = 0; i < count; i++) {
        const at = PARTS.descriptors + 16 * this.place + 14;
        const flags = this.views[1].getUint16(at, true) & ~(F_AVAIL | F_USED);
        const available = this.wrap !== this.oneWrongIn(100);
        this.u16(at, flags | (available ? F_AVAIL : F_USED));
        this.place++;
        if (this.place < size) continue;
        this.place = 0;
        this.wrap = !this.wrap;
      }
      if (chance.oneIn(10)) break;
    }
    this.giveUsed();
  }

  /** Where the device stands, as far as its used descriptors tell: place and wrap counter. */
  collectUsed(): { place: number; wrap: boolean } {
    const { size } = this;
    const [view] = this.views;
    while (this.free < size) {
      const at = PARTS.descriptors + 16 * this.oldest;
      const flags = view.getUint16(at + 14, true);
      const id = view.getUint16(at + 12, true);
      const count = this.counts.get(id);
      const isUsed =
        ((flags & F_AVAIL) !== 0) === this.oldestWrap && ((flags & F_USED) !== 0) === this.oldestWrap;
      if (!isUsed || count === undefined) break;
      this.counts.delete(id);
      this.free += count;
      this.oldest += count;
      if (this.oldest < size) continue;
      this.oldest -= size;
      this.oldestWrap = !this.oldestWrap;
    }
    return { place: this.oldest, wrap: this.oldestWrap };
  }

  /** The driver starts anew; most clear their rings. */
  restart(): void {
    this.giveUsed();
    this.offered = 0;
    this.place = 0;
    this.wrap = true;
    this.oldest = 0;
    this.oldestWrap = true;
    this.free = this.size;
    this.counts.clear();
    if (this.oneWrongIn(4)) return;
    this.store(PARTS.descriptors, new Uint8Array(PARTS.buffers - PARTS.descriptors));
  }

  /** Index of the split used ring. */
  get usedIndex(): number {
    return this.views[0].getUint16(PARTS.used + 2, true);
  }

  /** The device marks used descriptors of a packed ring as writable: handed over again, they are. */
  private giveUsed(): void {
    for (let i = 0; this.packed && i < this.size; i++) {
      const view = this.memory.view(PARTS.descriptors + 16 * i, 16);
      if ((view.getUint16(14, true) & F_WRITE) === 0) continue;
      this.given.push([Number(view.getBigUint64(0, true)), view.getUint32(8, true)]);
    }
  }

  /** Writes as the driver. */
  private store(at: number, data: Uint8Array): void {
    this.bytes.set(data, at);
    this.shadow.set(data, at);
  }

  private u16(at: number, value: number): void {
    for (const view of this.views) view.setUint16(at, value, true);
  }

  /**
   * Writes a chain like a driver's into `room` places, with something wrong now and then; returns where the next one may
   * start, which in a packed ring may be beyond its end.
   */
  private chain(first: number, room: number): number {
    const { chance } = this;
    const buffers = this.buffers();
    if (chance.oneIn(4)) {
      const entries = buffers.slice(0, 16);
      const address = PARTS.tables + 256 * chance.below(64);
      this.write(address, 0, entries, true);
      const length = chance.oneIn(12) ? chance.below(600) : 16 * entries.length;
      this.descriptor(PARTS.descriptors + 16 * first, { address, length, flags: F_INDIRECT }, this.id);
      return first + 1;
    }
    const fitting = buffers.slice(0, room);
    this.write(PARTS.descriptors, first, fitting, false);
    return first + fitting.length;
  }

  /** A request's buffers, in pieces at times, and with something wrong at others. */
  private buffers(): Descriptor[] {
    const { chance, blk } = this;
    const isRead = chance.oneIn(2);
    const blocks = 1 + chance.below(12);
    const header = { address: this.somewhere(), length: blk ? 16 : 51, flags: 0 };
    this.header(header.address, isRead, blocks);
    const data = { address: this.somewhere(), length: 512 * blocks, flags: isRead ? F_WRITE : 0 };
    const answer = { address: this.somewhere(), length: blk ? 1 : 108, flags: F_WRITE };
    const order = isRead && !blk ? [header, answer, data] : [header, data, answer];
    let list: Descriptor[] = order.flatMap((each) => (chance.oneIn(5) ? this.split(each) : [each]));
    if (chance.oneIn(12)) list = list.map((each) => (chance.oneIn(3) ? this.damaged(each) : each));
    if (chance.oneIn(25)) list.splice(chance.below(list.length), 1);
    if (chance.oneIn(60)) list.reverse();
    return list;
  }

  private somewhere(): number {
    return PARTS.buffers + this.chance.below(MEMORY - PARTS.buffers - 0x4000);
  }

  private split({ address, length, flags }: Descriptor): Descriptor[] {
    const at = this.chance.below(length + 1);
    return [
      { address, length: at, flags },
      { address: address + at, length: length - at, flags },
    ];
  }

  private damaged(descriptor: Descriptor): Descriptor {
    const { chance } = this;
    switch (chance.below(3)) {
      case 0:
        return {
          ...descriptor,
          address: chance.pick([0, MEMORY - 1, MEMORY, 2 ** 32, 2 ** 53, 0xffff_ffff_f000]),
        };
      case 1:
        return { ...descriptor, length: chance.pick([0, 1, 0xffff_ffff, MEMORY, chance.below(0x3000)]) };
      default:
        this.orderly = false;
        return { ...descriptor, flags: descriptor.flags ^ (1 << chance.below(4)) };
    }
  }

  private write(table: number, first: number, list: readonly Descriptor[], indirect: boolean): void {
    const { chance } = this;
    for (const [i, each] of list.entries()) {
      const linked = i < list.length - 1 && !(indirect && this.packed);
      const place = indirect ? i : (first + i) % this.size;
      const right = this.packed ? this.id : first + i + 1;
      const next = this.oneWrongIn(200) ? chance.below(0x10000) : right;
      const flags = each.flags | (linked ? F_NEXT : 0);
      this.descriptor(table + 16 * place, { ...each, flags }, next);
    }
  }

  /** Once in `n` the driver loses its own count. */
  private oneWrongIn(n: number): boolean {
    const isWrong = this.chance.oneIn(n);
    if (isWrong) this.orderly = false;
    return isWrong;
  }

  /** `next`: the index of the next one, or in a packed ring the buffer's id. */
  private descriptor(at: number, { address, length, flags }: Descriptor, next: number): void {
    for (const view of this.views) {
      view.setBigUint64(at, BigInt(address), true);
      view.setUint32(at + 8, length, true);
      view.setUint16(at + (this.packed ? 14 : 12), flags, true);
      view.setUint16(at + (this.packed ? 12 : 14), next, true);
    }
    if ((flags & F_WRITE) !== 0) this.given.push([address, length]);
  }

  /** A request header that makes some sense. */
  private header(at: number, isRead: boolean, blocks: number): void {
    const { chance, blk } = this;
    const bytes = new Uint8Array(64);
    if (blk) {
      bytes[0] = chance.oneIn(4) ? chance.pick([4, 8, 11, 13, chance.below(20)]) : Number(!isRead);
      bytes[8] = chance.below(256);
      if (chance.oneIn(20)) bytes.set(chance.bytes(8), 8);
      this.store(at, bytes);
      return;
    }
    bytes[0] = chance.oneIn(40) ? chance.below(256) : 1;
    bytes[2] = 0x40;
    bytes.set(chance.bytes(8), 8);
    const transfer = [isRead ? 0x28 : 0x2a, 0, 0, 0, chance.below(4), chance.below(256), 0, 0, blocks, 0];
    const opcode = chance.pick([0x12, 0x08, 0x5f, 0x42, 0x93, 0x89, 0x9e, chance.below(256)]);
    bytes.set(chance.oneIn(4) ? [opcode, ...chance.bytes(15)] : transfer, 19);
    this.store(at, bytes);
  }
}
