/**
 * A guest's memory with one ring in it that is hostile: descriptors, indirect tables and indexes like a driver's, with
 * something wrong now and then, split or packed, for a SCSI host or a block device. It remembers which bytes it gave to
 * the device and which it wrote itself; all others are canaries.
 */
import { GuestMemory } from '../vhost-user/guest-memory.ts';
import type { Chance } from './chance.ts';

const MEBIBYTE = 1 << 20;
/** Bytes of guest memory, which begins at address 0. */
export const MEMORY = 2 * MEBIBYTE;
export const CANARY = 0xa5;
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

interface Descriptor {
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  readonly flags: number;
}

export class HostileRing {
  readonly memory = new GuestMemory([{ guestAddress: 0, length: MEMORY }]);
  readonly bytes = this.memory.bytes(0, MEMORY).fill(CANARY);
  /** Buffers that the device may write, by the addresses that the driver used: [address, bytes]. */
  readonly given: [number, number][] = [];
  /** What of the ring itself it may write. */
  readonly parts: readonly [number, number][];
  /** 1 where the guest itself wrote. */
  readonly own = new Uint8Array(MEMORY);
  readonly packed: boolean;
  readonly blk: boolean;
  readonly size: number;
  private readonly chance: Chance;
  /** The split ring's available index. */
  private offered = 0;

  constructor(chance: Chance, blk: boolean) {
    this.chance = chance;
    this.blk = blk;
    this.packed = chance.oneIn(2);
    this.size = chance.pick([1, 2, 8, 16, 64, 128, MAX_SIZE]);
    const used: [number, number] = [PARTS.used, 8 * this.size + 6];
    // Either event area of a packed ring may be the device's.
    this.parts = this.packed ? [used, [PARTS.descriptors, 16 * this.size], [PARTS.available, 4]] : [used];
  }

  /** Makes more requests available, as a driver that runs does. */
  fill(): void {
    const { chance, memory, size, packed, bytes } = this;
    const heads: number[] = [];
    for (let next = 0; next < size && heads.length < 24; ) {
      heads.push(next);
      next = this.chain(next);
      if (chance.oneIn(10)) break;
    }
    if (packed) {
      for (let i = 0; i < size; i++) {
        const flags = PARTS.descriptors + 16 * i + 14;
        if (bytes[flags] !== CANARY && !chance.oneIn(100)) bytes[flags] |= F_AVAIL;
      }
      this.giveUsed();
      return;
    }
    const available = memory.view(PARTS.available, 6 + 2 * size);
    available.setUint16(0, chance.below(2), true);
    for (const head of heads) {
      const entry = chance.oneIn(60) ? chance.below(0x10000) : head;
      available.setUint16(4 + 2 * (this.offered % size), entry, true);
      this.offered = (this.offered + 1) & 0xffff;
    }
    available.setUint16(4 + 2 * size, chance.below(0x10000), true);
    available.setUint16(2, chance.oneIn(40) ? chance.below(0x10000) : this.offered, true);
  }

  /** The device marks used descriptors of a packed ring as writable: handed over again, they are. */
  giveUsed(): void {
    for (let i = 0; this.packed && i < this.size; i++) {
      const view = this.memory.view(PARTS.descriptors + 16 * i, 16);
      if ((view.getUint16(14, true) & F_WRITE) === 0) continue;
      this.given.push([Number(view.getBigUint64(0, true)), view.getUint32(8, true)]);
    }
  }

  /** Writes a chain like a driver's, with something wrong now and then; returns where the next one may start. */
  private chain(first: number): number {
    const { chance } = this;
    const buffers = this.buffers();
    if (chance.oneIn(4)) {
      const entries = buffers.slice(0, 16);
      const address = PARTS.tables + 256 * chance.below(64);
      this.write(address, 0, entries, true);
      const length = chance.oneIn(12) ? chance.below(600) : 16 * entries.length;
      this.descriptor(PARTS.descriptors + 16 * first, { address, length, flags: F_INDIRECT }, first);
      return first + 1;
    }
    const fitting = buffers.slice(0, this.size - first);
    this.write(PARTS.descriptors, first, fitting, false);
    return first + fitting.length;
  }

  /** A request's buffers, in pieces at times, and with something wrong at others. */
  private buffers(): Descriptor[] {
    const { chance, blk } = this;
    const isRead = chance.oneIn(2);
    const blocks = 1 + chance.below(12);
    const header = { address: this.place(), length: blk ? 16 : 51, flags: 0 };
    this.header(header.address, isRead, blocks);
    const data = { address: this.place(), length: 512 * blocks, flags: isRead ? F_WRITE : 0 };
    const answer = { address: this.place(), length: blk ? 1 : 108, flags: F_WRITE };
    const order = isRead && !blk ? [header, answer, data] : [header, data, answer];
    let list: Descriptor[] = order.flatMap((each) => (chance.oneIn(5) ? this.split(each) : [each]));
    if (chance.oneIn(12)) list = list.map((each) => (chance.oneIn(3) ? this.damaged(each) : each));
    if (chance.oneIn(25)) list.splice(chance.below(list.length), 1);
    if (chance.oneIn(60)) list.reverse();
    return list;
  }

  private place(): number {
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
        return { ...descriptor, flags: descriptor.flags ^ (1 << chance.below(4)) };
    }
  }

  private write(table: number, first: number, list: readonly Descriptor[], indirect: boolean): void {
    const { chance } = this;
    for (const [i, each] of list.entries()) {
      const linked = i < list.length - 1 && !(indirect && this.packed);
      const next = chance.oneIn(200) ? chance.below(0x10000) : first + i + (this.packed ? 0 : 1);
      const flags = each.flags | (linked ? F_NEXT : 0);
      this.descriptor(table + 16 * (first + i), { ...each, flags }, next);
    }
  }

  /** `next`: the index of the next one, or in a packed ring the buffer's id. */
  private descriptor(at: number, { address, length, flags }: Descriptor, next: number): void {
    const { memory, packed } = this;
    const view = memory.view(at, 16);
    view.setBigUint64(0, BigInt(address), true);
    view.setUint32(8, length, true);
    view.setUint16(packed ? 14 : 12, flags, true);
    view.setUint16(packed ? 12 : 14, next, true);
    if ((flags & F_WRITE) !== 0) this.given.push([address, length]);
  }

  /** A request header that makes some sense. */
  private header(at: number, isRead: boolean, blocks: number): void {
    const { chance, memory, blk } = this;
    this.own.fill(1, at, at + 64);
    const bytes = memory.bytes(at, 64);
    bytes.fill(0);
    if (blk) {
      bytes[0] = chance.oneIn(4) ? chance.pick([4, 8, 11, 13, chance.below(20)]) : Number(!isRead);
      bytes[8] = chance.below(256);
      if (chance.oneIn(20)) bytes.set(chance.bytes(8), 8);
      return;
    }
    bytes[0] = chance.oneIn(40) ? chance.below(256) : 1;
    bytes[2] = 0x40;
    bytes.set(chance.bytes(8), 8);
    const transfer = [isRead ? 0x28 : 0x2a, 0, 0, 0, chance.below(4), chance.below(256), 0, 0, blocks, 0];
    const opcode = chance.pick([0x12, 0x08, 0x5f, 0x42, 0x93, 0x89, 0x9e, chance.below(256)]);
    bytes.set(chance.oneIn(4) ? [opcode, ...chance.bytes(15)] : transfer, 19);
  }
}
