/**
 * Hostile rings: random descriptors, indirect tables and indexes in the memory of a guest, split and packed, with and
 * without a migration's log, on a SCSI host and on a block device. Whatever the rings say, no byte changes but those that
 * some descriptor gave to the device, the process lives, and the next guest finds a device that works.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import { Request, VhostFeature } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { ScsiFeature } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';
import { parseDisk } from '../../../src/target/disk-spec.ts';
import { Server } from '../../../src/target/server.ts';
import { FrontEnd, USUAL_FEATURES, USUAL_PROTOCOL_FEATURES } from '../vhost-user/front-end.ts';
import { GuestMemory } from '../vhost-user/guest-memory.ts';
import { logBase, vringAddress, vringFd, vringState } from '../vhost-user/messages.ts';
import { bootGuest } from '../vhost-user/served.ts';
import { Chance } from './chance.ts';

const MEBIBYTE = 1 << 20;
const MEMORY = 2 * MEBIBYTE;
const CANARY = 0xa5;
/** Where the parts of a ring are; the rest is for buffers, tables and canaries. */
const PARTS = { descriptors: 0x1000, available: 0x5000, used: 0x6000, tables: 0x8000, buffers: 0x10000 };
const MAX_SIZE = 256;
const LOG_LENGTH = MEMORY / 4096 / 8 + 64;
const F_NEXT = 1;
const F_WRITE = 2;
const F_INDIRECT = 4;
const F_AVAIL = 1 << 7;
/** Milliseconds until an answer that does not come is a complaint. */
const PATIENCE = 10_000;

interface Round {
  readonly memory: GuestMemory;
  readonly bytes: Uint8Array;
  /** 1 where the device may write. */
  readonly given: Uint8Array;
  readonly packed: boolean;
  readonly blk: boolean;
  readonly size: number;
  /** The split ring's available index. */
  offered: number;
}

interface Descriptor {
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  readonly flags: number;
}

export class RingFuzz {
  /** What went wrong, in words; empty when all is well. */
  readonly complaints: string[] = [];
  /** Rings that were handed over. */
  runs = 0;
  private readonly chance: Chance;
  private readonly folder = temporaryFolder();
  private server: Server | undefined = undefined;

  constructor(seed: number) {
    this.chance = new Chance(seed);
  }

  async run(rounds: number): Promise<void> {
    const socket = (name: string) => join(this.folder.path, name);
    const silent = () => {};
    const error = (message: string) => void this.complaints.push(message);
    const target = (device: 'scsi' | 'blk') => ({
      sockets: [{ path: socket(device), role: 'listen' as const }],
      disks: [parseDisk('ram:1M')],
      device,
    });
    const server = await Server.open([target('scsi'), target('blk')], {
      io: 'auto',
      stateDirectory: undefined,
      iscsi: undefined,
      log: { debug: silent, info: silent, warn: silent, error },
    });
    this.server = server;
    try {
      for (let i = 0; i < rounds && this.complaints.length === 0; i++) {
        const blk = this.chance.oneIn(3);
        await this.round(socket(blk ? 'blk' : 'scsi'), blk);
      }
      if (this.complaints.length === 0) await this.checkAlive(socket('scsi'));
    } finally {
      await server.close();
      this.folder.remove();
    }
  }

  /** One guest that hands over one ring, kicks it, adds to it while it runs, and leaves. */
  private async round(path: string, blk: boolean): Promise<void> {
    const { chance } = this;
    const memory = new GuestMemory([{ guestAddress: 0, length: MEMORY }]);
    const frontEnd = FrontEnd.connect(path);
    const packed = chance.oneIn(2);
    const round: Round = {
      memory,
      bytes: memory.bytes(0, MEMORY).fill(CANARY),
      given: new Uint8Array(MEMORY),
      packed,
      blk,
      size: chance.pick([1, 2, 8, 16, 64, 128, MAX_SIZE]),
      offered: 0,
    };
    const kickFd = checked(addon.eventfd(), 'make', 'a kick eventfd');
    const callFd = checked(addon.eventfd(), 'make', 'a call eventfd');
    const logFd = checked(addon.memfd('lunport-fuzz-log', LOG_LENGTH), 'make', 'a log');
    try {
      await this.patiently(async () => {
        await frontEnd.negotiate(this.features(packed), USUAL_PROTOCOL_FEATURES);
        await frontEnd.shareMemory(memory);
        if (chance.oneIn(3)) {
          await frontEnd.request(Request.SET_LOG_BASE, logBase(LOG_LENGTH, 0), [logFd]);
          await frontEnd.setFeatures(frontEnd.features | featureSet(VhostFeature.LOG_ALL));
        }
        this.fill(round);
        const index = blk ? 0 : chance.pick([0, 1, 2, 2, 2, 2]);
        await this.handOver(frontEnd, round, index, kickFd, callFd);
        this.runs++;
        for (let i = chance.below(3); i > 0; i--) {
          await new Promise(setImmediate);
          this.fill(round);
          addon.signal(kickFd);
        }
        await new Promise(setImmediate);
        // Ends what runs, so that nothing is written any more when it has answered.
        if (!chance.oneIn(4)) await frontEnd.getVringBase(index);
      });
    } finally {
      frontEnd.close();
      for (const fd of [kickFd, callFd, logFd]) addon.close(fd);
    }
    await this.alone();
    this.checkCanaries(round);
    memory.close();
  }

  private features(packed: boolean): bigint {
    const { chance } = this;
    let features = USUAL_FEATURES | (packed ? featureSet(VirtioFeature.RING_PACKED) : 0n);
    for (const bit of [VirtioFeature.RING_EVENT_IDX, VirtioFeature.RING_INDIRECT_DESC])
      if (chance.oneIn(4)) features &= ~featureSet(bit);
    if (chance.oneIn(4)) features |= featureSet(ScsiFeature.T10_PI);
    return features;
  }

  private async handOver(
    frontEnd: FrontEnd,
    { memory, size, packed }: Round,
    index: number,
    kickFd: number,
    callFd: number,
  ): Promise<void> {
    await frontEnd.send(Request.SET_VRING_NUM, vringState(index, size));
    await frontEnd.send(Request.SET_VRING_BASE, vringState(index, packed ? 0x8000_8000 : 0));
    const addresses = {
      index,
      descriptor: memory.userAddress(PARTS.descriptors),
      available: memory.userAddress(PARTS.available),
      used: memory.userAddress(PARTS.used),
    };
    await frontEnd.send(Request.SET_VRING_ADDR, vringAddress(addresses));
    await frontEnd.send(Request.SET_VRING_CALL, vringFd(index, true), { fds: [callFd] });
    await frontEnd.send(Request.SET_VRING_KICK, vringFd(index, true), { fds: [kickFd] });
    await frontEnd.send(Request.SET_VRING_ENABLE, vringState(index, 1));
  }

  // -- What the ring says --------------------------------------------------------------------------------------

  private fill(round: Round): void {
    const { chance } = this;
    const { memory, size, packed, bytes } = round;
    this.give(round, PARTS.used, 8 * size + 6);
    if (packed) {
      this.give(round, PARTS.descriptors, 16 * size);
      // Either event area may be the device's.
      this.give(round, PARTS.available, 4);
    }
    const heads: number[] = [];
    for (let next = 0; next < size && heads.length < 24; ) {
      heads.push(next);
      next = this.chain(round, next);
      if (chance.oneIn(10)) break;
    }
    if (packed) {
      for (let i = 0; i < size; i++) {
        const flags = PARTS.descriptors + 16 * i + 14;
        if (bytes[flags] !== CANARY && !chance.oneIn(100)) bytes[flags] |= F_AVAIL;
      }
      return;
    }
    const available = memory.view(PARTS.available, 6 + 2 * size);
    available.setUint16(0, chance.below(2), true);
    for (const head of heads) {
      const entry = chance.oneIn(60) ? chance.below(0x10000) : head;
      available.setUint16(4 + 2 * (round.offered % size), entry, true);
      round.offered = (round.offered + 1) & 0xffff;
    }
    available.setUint16(4 + 2 * size, chance.below(0x10000), true);
    available.setUint16(2, chance.oneIn(40) ? chance.below(0x10000) : round.offered, true);
  }

  /** Writes a chain like a driver's, with something wrong now and then; returns where the next one may start. */
  private chain(round: Round, first: number): number {
    const { chance } = this;
    const buffers = this.buffers(round);
    if (chance.oneIn(4)) {
      const entries = buffers.slice(0, 16);
      const address = PARTS.tables + 256 * chance.below(64);
      this.write(round, address, 0, entries, true);
      const length = chance.oneIn(12) ? chance.below(600) : 16 * entries.length;
      this.descriptor(round, PARTS.descriptors + 16 * first, { address, length, flags: F_INDIRECT }, first);
      return first + 1;
    }
    const fitting = buffers.slice(0, round.size - first);
    this.write(round, PARTS.descriptors, first, fitting, false);
    return first + fitting.length;
  }

  /** A request's buffers, in pieces at times, and with something wrong at others. */
  private buffers(round: Round): Descriptor[] {
    const { chance } = this;
    const { blk } = round;
    const isRead = chance.oneIn(2);
    const blocks = 1 + chance.below(12);
    const header = { address: this.place(), length: blk ? 16 : 51, flags: 0 };
    this.header(round, header.address, isRead, blocks);
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

  private write(
    round: Round,
    table: number,
    first: number,
    list: readonly Descriptor[],
    indirect: boolean,
  ): void {
    const { chance } = this;
    for (const [i, each] of list.entries()) {
      const linked = i < list.length - 1 && !(indirect && round.packed);
      const next = chance.oneIn(200) ? chance.below(0x10000) : first + i + (round.packed ? 0 : 1);
      const flags = each.flags | (linked ? F_NEXT : 0);
      this.descriptor(round, table + 16 * (first + i), { ...each, flags }, next);
    }
  }

  /** `next`: the index of the next one, or in a packed ring the buffer's id. */
  private descriptor(round: Round, at: number, { address, length, flags }: Descriptor, next: number): void {
    const { memory, packed } = round;
    const view = memory.view(at, 16);
    view.setBigUint64(0, BigInt(address), true);
    view.setUint32(8, length, true);
    view.setUint16(packed ? 14 : 12, flags, true);
    view.setUint16(packed ? 12 : 14, next, true);
    if ((flags & F_WRITE) !== 0) this.give(round, address, length);
  }

  /** A request header that makes some sense. */
  private header(round: Round, at: number, isRead: boolean, blocks: number): void {
    const { chance } = this;
    const { memory, blk } = round;
    // Not the device's to write, but no canary either.
    this.give(round, at, 64);
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

  private give({ given }: Round, address: number, length: number): void {
    if (address < MEMORY) given.fill(1, address, Math.min(MEMORY, address + length));
  }

  // -- What has to hold ----------------------------------------------------------------------------------------

  /** Whether a byte changed that was neither given to the device nor written by this guest. */
  private checkCanaries({ bytes, given }: Round): void {
    for (let at = PARTS.buffers; at < MEMORY; at++) {
      if (bytes[at] === CANARY || given[at] === 1) continue;
      this.complaints.push(
        `byte 0x${at.toString(16)} became 0x${bytes[at].toString(16)}, which nobody gave away`,
      );
      return;
    }
  }

  private async patiently(work: () => Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), PATIENCE);
    });
    // A connection that was closed, and a message that was refused, are fine answers.
    // An ACA condition that nobody clears would hold everything up until the back-end's own patience ends.
    const clearing = setInterval(() => {
      for (const { disks } of this.server!.targets)
        for (const { unit } of disks.values()) unit.taskSet.clearAllAca();
    }, 5);
    const done = work().then(
      () => 'done',
      () => 'refused',
    );
    if ((await Promise.race([done, late])) === 'late') this.complaints.push('an answer did not come');
    clearTimeout(timer);
    clearInterval(clearing);
  }

  private async alone(): Promise<void> {
    const end = Date.now() + PATIENCE;
    while (this.server!.targets.some(({ vhostUser }) => vhostUser[0].state.frontEnd !== undefined)) {
      if (Date.now() > end) {
        this.complaints.push('a connection did not end');
        return;
      }
      await sleep(1);
    }
  }

  private async checkAlive(path: string): Promise<void> {
    const { driver, leave } = await bootGuest(FrontEnd.connect(path));
    const { status } = await driver.execute({ cdb: [0x12, 0, 0, 0, 96, 0], dataInLength: 96 });
    if (status !== 0) this.complaints.push(`the next guest's INQUIRY ended with status ${status}`);
    leave();
  }
}
