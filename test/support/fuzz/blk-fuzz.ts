/**
 * Hostile requests to a virtio block device, over a real socket and rings: headers, ranges and buffers that make sense
 * or nearly do, cut anywhere, partly in memory that the device does not have. What has to come of each is foretold byte
 * by byte, canaries between the buffers and the whole disk included.
 */
import {
  BlkHeader,
  BlkRange,
  BlkStatus,
  BlkType,
  ID_LENGTH,
  MAX_RANGES,
  RANGE_UNMAP,
  SECTOR,
} from '../../../src/fabrics/vhost-user/virtio-blk-spec.ts';
import type { BlkOptions } from '../vhost-user/blk-guest.ts';
import type { BufferElement } from '../vhost-user/driver-ring.ts';
import { ServedBlk } from '../vhost-user/served-blk.ts';
import { Chance } from './chance.ts';

const DISK_BYTES = 256 << 10;
const SECTORS = DISK_BYTES / SECTOR;
const SERIAL = 'FUZZ';
const ARENA_BYTES = 96 << 10;
/** Canaries between two buffers, bytes. */
const GAP = 16;
/** Guest memory ends before this address. */
const NOWHERE = 2 ** 40;
const TYPES = [...Object.values(BlkType), BlkType.IN, BlkType.OUT, BlkType.OUT, 2, 5, 14, 0x8000_0000];

interface Buffers {
  readonly elements: readonly BufferElement[];
  /** In order and without those that are nowhere: where their bytes are in the arena. */
  readonly places: readonly { readonly at: number; readonly length: number }[];
  readonly length: number;
  readonly nowhere: boolean;
  /** The last byte is in memory. */
  readonly endsInMemory: boolean;
}

interface Outcome {
  readonly status: number;
  /** What the guest gets, when the status is OK. */
  readonly dataIn?: Uint8Array;
  readonly written: number;
}

export class BlkFuzz {
  /** What went wrong, in words; empty when all is well. */
  readonly complaints: string[] = [];
  /** Requests. */
  runs = 0;
  private readonly chance: Chance;
  private readonly options: BlkOptions | undefined;
  private readonly disk = new Uint8Array(DISK_BYTES);
  private served!: ServedBlk;
  private arenaAddress = 0;
  private arena!: Uint8Array;
  /** The first byte of the arena that this request does not use yet. */
  private free = 0;

  constructor(seed: number, options?: BlkOptions) {
    this.chance = new Chance(seed);
    this.options = options;
  }

  /** Serves a disk, sends `count` requests to it, and stops. Once only. */
  async run(count: number): Promise<void> {
    this.served = await ServedBlk.start(`ram:${DISK_BYTES >> 10}K,serial=${SERIAL}`, this.options);
    const { memory } = this.served;
    this.arenaAddress = memory.allocate(ARENA_BYTES);
    this.arena = memory.bytes(this.arenaAddress, ARENA_BYTES);
    try {
      for (let i = 0; i < count && this.complaints.length === 0; i++) await this.step();
      await this.compareDisk();
    } finally {
      await this.served.close();
    }
  }

  private async step(): Promise<void> {
    const { chance, arena } = this;
    this.free = GAP;
    for (let i = 0; i < arena.length; i += 4096) arena.fill(chance.below(256), i, i + 4096);
    const type = chance.pick(TYPES);
    const request = this.payload(type);
    const readable = this.place(request.length, false);
    this.scatter(request, readable);
    const writable = this.place(this.answerLength(type), true);
    const outcome = this.foretell(request, readable, writable);
    const expected = arena.slice();
    if (outcome !== undefined) this.expect(expected, writable, outcome);
    const written = await this.served.driver.submit(0, [...readable.elements, ...writable.elements]);
    this.runs++;
    const what = `type ${type}, ${request.length} bytes out, ${writable.length} in`;
    if (written !== (outcome?.written ?? 0))
      this.complaints.push(`${what}: used length ${written}, not ${outcome?.written}`);
    const wrong = arena.findIndex((byte, at) => byte !== expected[at]);
    if (wrong >= 0)
      this.complaints.push(`${what}: arena[${wrong}] is ${arena[wrong]}, not ${expected[wrong]}`);
  }

  /** Header and data of a request, which may be cut short or go on too long. */
  private payload(type: number): Uint8Array {
    const { chance } = this;
    const data = this.dataLength(type);
    const bytes = new Uint8Array(BlkHeader.LENGTH + data).map(() => chance.below(256));
    const view = new DataView(bytes.buffer);
    view.setUint32(BlkHeader.TYPE, type, true);
    this.putSector(view, BlkHeader.SECTOR);
    if (type === BlkType.DISCARD || type === BlkType.WRITE_ZEROES) {
      for (let at = BlkHeader.LENGTH; at + BlkRange.LENGTH <= bytes.length; at += BlkRange.LENGTH) {
        this.putSector(view, at + BlkRange.SECTOR);
        view.setUint32(at + BlkRange.SECTORS, chance.oneIn(40) ? 0xffff_ffff : chance.below(24), true);
        const unmap = type === BlkType.WRITE_ZEROES && chance.oneIn(2) ? RANGE_UNMAP : 0;
        view.setUint32(at + BlkRange.FLAGS, chance.oneIn(40) ? chance.below(4) : unmap, true);
      }
    }
    return chance.oneIn(25) ? bytes.slice(0, chance.below(bytes.length + 1)) : bytes;
  }

  private dataLength(type: number): number {
    const { chance } = this;
    if (chance.oneIn(20)) return chance.below(2000);
    if (type === BlkType.OUT) return chance.below(17) * SECTOR;
    if (type === BlkType.DISCARD || type === BlkType.WRITE_ZEROES)
      return (1 + chance.below(chance.oneIn(10) ? MAX_RANGES + 2 : 3)) * BlkRange.LENGTH;
    return 0;
  }

  private answerLength(type: number): number {
    const { chance } = this;
    if (chance.oneIn(20)) return chance.below(2000);
    if (type === BlkType.IN) return chance.below(17) * SECTOR + 1;
    return type === BlkType.GET_ID ? ID_LENGTH + 1 : 1;
  }

  private putSector(view: DataView, at: number): void {
    const { chance } = this;
    view.setUint32(at, chance.below(SECTORS + 4), true);
    view.setUint32(at + 4, chance.oneIn(30) ? chance.pick([1, 0xfff, 0x20_0000, 0xffff_ffff]) : 0, true);
  }

  /** Buffers of `length` bytes in all, cut anywhere. */
  private place(length: number, writable: boolean): Buffers {
    const { chance } = this;
    const elements: BufferElement[] = [];
    const places: { at: number; length: number }[] = [];
    let nowhere = false;
    let endsInMemory = false;
    for (let left = length; left > 0; ) {
      const part = chance.oneIn(2) || elements.length > 60 ? left : 1 + chance.below(left);
      left -= part;
      if (chance.oneIn(20)) elements.push({ address: NOWHERE, length: 0, writable });
      endsInMemory = !chance.oneIn(60);
      if (!endsInMemory) {
        nowhere = true;
        elements.push({ address: NOWHERE, length: part, writable });
        continue;
      }
      elements.push({ address: this.arenaAddress + this.free, length: part, writable });
      places.push({ at: this.free, length: part });
      this.free += part + GAP + chance.below(3);
    }
    return { elements, places, length, nowhere, endsInMemory };
  }

  private scatter(bytes: Uint8Array, { places, nowhere }: Buffers): void {
    // What is nowhere is never understood, so it does not matter what is in the rest.
    if (nowhere) return;
    let from = 0;
    for (const { at, length } of places) {
      this.arena.set(bytes.subarray(from, from + length), at);
      from += length;
    }
  }

  /** Undefined: there is nowhere to answer. Changes the model of the disk. */
  private foretell(request: Uint8Array, readable: Buffers, writable: Buffers): Outcome | undefined {
    if (writable.length === 0 || !writable.endsInMemory) return undefined;
    const bytesIn = writable.length - 1;
    const failed = (status: number): Outcome => ({ status, written: bytesIn === 0 ? 1 : 0 });
    const bytesOut = request.length - BlkHeader.LENGTH;
    if (writable.nowhere || readable.nowhere || bytesOut < 0 || (bytesOut > 0 && bytesIn > 0))
      return failed(BlkStatus.IOERR);
    const view = new DataView(request.buffer);
    const sector = view.getBigUint64(BlkHeader.SECTOR, true);
    const offset = Number(sector) * SECTOR;
    const done = (dataIn?: Uint8Array): Outcome => {
      const written = dataIn === undefined ? 0 : Math.min(dataIn.length, bytesIn);
      return { status: BlkStatus.OK, dataIn, written: written === bytesIn ? bytesIn + 1 : written };
    };
    switch (view.getUint32(BlkHeader.TYPE, true)) {
      case BlkType.IN:
        if (bytesOut > 0 || bytesIn % SECTOR !== 0 || offset + bytesIn > DISK_BYTES)
          return failed(BlkStatus.IOERR);
        return done(this.disk.slice(offset, offset + bytesIn));
      case BlkType.OUT:
        if (bytesIn > 0 || bytesOut % SECTOR !== 0 || offset + bytesOut > DISK_BYTES)
          return failed(BlkStatus.IOERR);
        this.disk.set(request.subarray(BlkHeader.LENGTH), offset);
        return done();
      case BlkType.FLUSH:
        return done();
      case BlkType.GET_ID: {
        const id = new Uint8Array(ID_LENGTH);
        id.set(Buffer.from(SERIAL));
        return bytesIn === 0 ? failed(BlkStatus.IOERR) : done(id);
      }
      case BlkType.DISCARD:
        return this.foretellRanges(view, bytesIn, 0) ?? done();
      case BlkType.WRITE_ZEROES:
        return this.foretellRanges(view, bytesIn, RANGE_UNMAP) ?? done();
      default:
        return failed(BlkStatus.UNSUPP);
    }
  }

  /** Undefined when they are done. */
  private foretellRanges(view: DataView, bytesIn: number, flags: number): Outcome | undefined {
    const failed = (status: number): Outcome => ({ status, written: bytesIn === 0 ? 1 : 0 });
    const length = view.byteLength - BlkHeader.LENGTH;
    const count = length / BlkRange.LENGTH;
    if (bytesIn > 0 || !Number.isInteger(count) || count === 0 || count > MAX_RANGES)
      return failed(BlkStatus.IOERR);
    const ranges = Array.from({ length: count }, (_, i) => {
      const at = BlkHeader.LENGTH + i * BlkRange.LENGTH;
      return {
        first: Number(view.getBigUint64(at + BlkRange.SECTOR, true)),
        sectors: view.getUint32(at + BlkRange.SECTORS, true),
        unknown: (view.getUint32(at + BlkRange.FLAGS, true) & ~flags) !== 0,
      };
    });
    if (ranges.some(({ unknown }) => unknown)) return failed(BlkStatus.UNSUPP);
    if (ranges.some(({ first, sectors }) => first + sectors > SECTORS)) return failed(BlkStatus.IOERR);
    for (const { first, sectors } of ranges) this.disk.fill(0, first * SECTOR, (first + sectors) * SECTOR);
    return undefined;
  }

  private expect(arena: Uint8Array, { places, length }: Buffers, { status, dataIn }: Outcome): void {
    let from = 0;
    for (const { at, length: size } of places) {
      if (dataIn !== undefined)
        arena.set(dataIn.subarray(from, from + Math.min(size, length - 1 - from)), at);
      from += size;
    }
    const last = places[places.length - 1];
    arena[last.at + last.length - 1] = status;
  }

  private async compareDisk(): Promise<void> {
    const { dataIn } = await this.served.execute({ type: BlkType.IN, dataInLength: DISK_BYTES });
    const wrong = dataIn.findIndex((byte, at) => byte !== this.disk[at]);
    if (wrong >= 0)
      this.complaints.push(`byte ${wrong} of the disk is ${dataIn[wrong]}, not ${this.disk[wrong]}`);
  }
}
