/**
 * Hostile rings: random descriptors, indirect tables and indexes in the memory of a guest, split and packed, on a SCSI
 * host and on a block device; with a migration's log, behind an IOMMU that lies, with an in-flight buffer full of
 * rubbish, while the front-end takes away what the rings stand on. Whatever they say, no byte changes but those that some
 * descriptor gave to the device, every page that was written is in the log, what was taken is used once and tracked, the
 * process lives and lets go of all that it was handed, and the next guest finds a device that works.
 *
 * That it can fail has been tried with defects, and all of these were found within 80 rings: a log that misses the first or
 * the last page of a range, the used ring, the descriptor ring, the response, the data or the status byte; one byte written
 * beyond a response; a chain used twice or never; either wrap counter of a packed ring not turned; an in-flight entry not
 * cleared. What it cannot see is a chain that was taken and not tracked, since a disk in memory answers at once: that is
 * what the tests of inflight-split and inflight-packed are for, and they find it.
 */
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import {
  PackedEntry,
  PackedRegion,
  SplitEntry,
  SplitRegion,
} from '../../../src/fabrics/vhost-user/inflight-spec.ts';
import { PackedVringBase, Request, VhostFeature } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { ScsiFeature } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';
import { Server } from '../../../src/target/server.ts';
import { luns } from '../luns.ts';
import { FrontEnd, USUAL_FEATURES, USUAL_PROTOCOL_FEATURES } from '../vhost-user/front-end.ts';
import {
  inflight,
  logBase,
  singleRegion,
  vringAddress,
  vringFd,
  vringState,
} from '../vhost-user/messages.ts';
import { bootGuest, resources } from '../vhost-user/served.ts';
import { Chance } from './chance.ts';
import { HostileIommu } from './hostile-iommu.ts';
import { HostileRing, MEMORY, PARTS } from './hostile-ring.ts';

const PAGE = 4096;
const CANARY = 0xa5;
/** The log's file: canaries, the log, canaries. */
const LOG = { offset: PAGE, full: MEMORY / PAGE / 8, file: 3 * PAGE } as const;
/** Milliseconds until an answer that does not come is a complaint: more than the back-end's own patience. */
const PATIENCE = 30_000;

/** Whether the device may write a byte, and as what. */
const Given = { NOT: 0, BUFFER: 1, RING: 2 } as const;

/** One guest with one ring. */
interface Round {
  readonly frontEnd: FrontEnd;
  readonly ring: HostileRing;
  readonly index: number;
  readonly kickFd: number;
  readonly callFd: number;
  readonly logFd: number;
  /** Bytes of log; 0: none. */
  readonly logLength: number;
  iommu: HostileIommu | undefined;
  /** Nothing happened that keeps pages out of the log by right. */
  logHolds: boolean;
  /** Where the device marks writes to the used ring, and whether that is where it is. */
  ringIsLogged: boolean;
  /** The in-flight buffer, if there is one; rubbish in it makes the device take what nobody offered. */
  inflightFd: number | undefined;
  inflightQueues: number;
  countsHold: boolean;
  /** The used ring's index when the ring was handed over. */
  usedBefore: number;
  /** What the device answered when it stopped the ring. */
  base: number | undefined;
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
      luns: luns('ram:1M'),
      device,
    });
    const server = await Server.open([target('scsi'), target('blk')], {
      io: 'auto',
      pollMicroseconds: this.chance.pick([0, 0, 20]),
      stateDirectory: undefined,
      iscsi: undefined,
      log: { debug: silent, info: silent, warn: silent, error },
    });
    this.server = server;
    const before = resources();
    try {
      for (let i = 0; i < rounds && this.complaints.length === 0; i++) {
        const blk = this.chance.oneIn(3);
        await this.round(socket(blk ? 'blk' : 'scsi'), blk);
      }
      if (this.complaints.length === 0) await this.checkAlive(socket('scsi'));
      this.checkLetGo(before);
    } finally {
      await server.close();
      this.folder.remove();
    }
  }

  /** One guest that hands over one ring, kicks it, adds to it while it runs, and leaves. */
  private async round(path: string, blk: boolean): Promise<void> {
    const { chance } = this;
    const round: Round = {
      frontEnd: FrontEnd.connect(path),
      ring: new HostileRing(chance, blk),
      index: blk ? 0 : chance.pick([0, 1, 2, 2, 2, 2]),
      kickFd: checked(addon.eventfd(), 'make', 'a kick eventfd'),
      callFd: checked(addon.eventfd(), 'make', 'a call eventfd'),
      logFd: checked(addon.memfd('lunport-fuzz-log', LOG.file), 'make', 'a log'),
      logLength: chance.oneIn(3) ? chance.pick([LOG.full, LOG.full, LOG.full + 64, 1, 40]) : 0,
      iommu: undefined,
      logHolds: true,
      ringIsLogged: false,
      inflightFd: undefined,
      inflightQueues: 1,
      countsHold: true,
      usedBefore: 0,
      base: undefined,
    };
    for (const [at, length] of this.besideLog(round)) {
      writeSync(round.logFd, new Uint8Array(length).fill(CANARY), 0, length, at);
    }
    try {
      await this.patiently(() => this.play(round));
    } finally {
      round.iommu?.close();
      round.frontEnd.close();
    }
    await this.alone();
    this.checkMemory(round);
    if (round.base !== undefined && round.countsHold) this.checkUsed(round, round.base);
    for (const fd of [round.kickFd, round.callFd, round.logFd, round.inflightFd])
      if (fd !== undefined) addon.close(fd);
    round.ring.memory.close();
  }

  private async play(round: Round): Promise<void> {
    const { chance } = this;
    const { frontEnd, ring, index } = round;
    const behindIommu = chance.oneIn(3);
    await frontEnd.negotiate(this.features(ring.packed, behindIommu), USUAL_PROTOCOL_FEATURES);
    await frontEnd.shareMemory(ring.memory);
    if (behindIommu) {
      // Where the rings really are is the IOMMU's mood, too.
      round.countsHold = false;
      round.iommu = await HostileIommu.open(chance, frontEnd, ring.memory, MEMORY);
    }
    if (round.logLength > 0) {
      await frontEnd.request(Request.SET_LOG_BASE, logBase(round.logLength, LOG.offset), [round.logFd]);
      await frontEnd.setFeatures(frontEnd.features | featureSet(VhostFeature.LOG_ALL));
    }
    if (chance.oneIn(4)) await this.trackInflight(round);
    ring.fill();
    await this.handOver(round);
    this.runs++;
    for (let i = chance.below(4); i > 0; i--) {
      await new Promise(setImmediate);
      if (chance.oneIn(3)) await this.disturb(round);
      await round.iommu?.disturb();
      ring.fill();
      addon.signal(round.kickFd);
    }
    await new Promise(setImmediate);
    // Ends what runs, so that nothing is written any more when it has answered.
    if (!chance.oneIn(4)) round.base = await frontEnd.getVringBase(index);
  }

  private features(packed: boolean, iommu: boolean): bigint {
    const { chance } = this;
    let features = USUAL_FEATURES;
    if (packed) features |= featureSet(VirtioFeature.RING_PACKED);
    if (iommu) features |= featureSet(VirtioFeature.ACCESS_PLATFORM);
    for (const bit of [VirtioFeature.RING_EVENT_IDX, VirtioFeature.RING_INDIRECT_DESC])
      if (chance.oneIn(4)) features &= ~featureSet(bit);
    if (chance.oneIn(4)) features |= featureSet(ScsiFeature.T10_PI);
    return features;
  }

  /** An in-flight buffer as another back-end could have left it, or as nobody would. */
  private async trackInflight(round: Round): Promise<void> {
    const { chance } = this;
    const { frontEnd, ring } = round;
    round.inflightQueues = 1 + chance.below(4);
    const { payload, fds } = await frontEnd.request(
      Request.GET_INFLIGHT_FD,
      inflight(0, 0, round.inflightQueues, ring.size),
    );
    const size = Number(new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true));
    try {
      for (let i = chance.pick([0, 0, 1, 4, 60]); i > 0; i--) {
        round.countsHold = false;
        const bytes = chance.bytes(1 + chance.below(8));
        writeSync(fds[0], bytes, 0, bytes.length, chance.below(Math.max(1, size - bytes.length)));
      }
      await frontEnd.send(Request.SET_INFLIGHT_FD, payload, { fds: [fds[0]] });
    } finally {
      [round.inflightFd] = fds;
    }
  }

  private async handOver(round: Round): Promise<void> {
    const { chance } = this;
    const { frontEnd, index, iommu, ring } = round;
    const { size, packed, memory } = ring;
    const place = (address: number) => (iommu === undefined ? memory.userAddress(address) : address);
    await frontEnd.send(Request.SET_VRING_NUM, vringState(index, size));
    await frontEnd.send(Request.SET_VRING_BASE, vringState(index, packed ? 0x8000_8000 : 0));
    const addresses = {
      index,
      flags: Number(round.logLength > 0),
      descriptor: place(PARTS.descriptors),
      available: place(PARTS.available),
      used: place(PARTS.used),
      log: chance.oneIn(4) ? chance.pick([0, MEMORY, MEMORY - 1, 2 ** 45]) : PARTS.used,
    };
    round.ringIsLogged = iommu === undefined && addresses.log === PARTS.used;
    round.usedBefore = ring.usedIndex;
    await frontEnd.send(Request.SET_VRING_ADDR, vringAddress(addresses));
    await frontEnd.send(Request.SET_VRING_CALL, vringFd(index, true), { fds: [round.callFd] });
    await frontEnd.send(Request.SET_VRING_KICK, vringFd(index, true), { fds: [round.kickFd] });
    await frontEnd.send(Request.SET_VRING_ENABLE, vringState(index, 1));
  }

  /** Changes something under the ring while it runs. */
  private async disturb(round: Round): Promise<void> {
    const { chance } = this;
    const { frontEnd, index, ring } = round;
    switch (chance.below(5)) {
      case 0: {
        const [region] = ring.memory.regions;
        const fds = chance.oneIn(2) ? [] : [region.fd];
        await frontEnd.send(Request.REM_MEM_REG, singleRegion(region), { fds });
        await frontEnd.send(Request.ADD_MEM_REG, singleRegion(region), { fds: [region.fd] });
        return;
      }
      case 1:
        round.logHolds = false;
        await frontEnd.setFeatures(frontEnd.features ^ featureSet(VhostFeature.LOG_ALL));
        return;
      case 2:
        await frontEnd.enableRing(index, false);
        await frontEnd.enableRing(index);
        return;
      case 3:
        if (round.logLength === 0) return;
        await frontEnd.request(Request.SET_LOG_BASE, logBase(round.logLength, LOG.offset), [round.logFd]);
        return;
      default:
        await frontEnd.send(Request.RESET_DEVICE);
        ring.restart();
        await this.handOver(round);
    }
  }

  // -- What has to hold ----------------------------------------------------------------------------------------

  /** Whether a byte was written that was not given to the device, or in a page that no log tells of. */
  private checkMemory(round: Round): void {
    const { ring, logFd, logLength } = round;
    const given = new Uint8Array(MEMORY);
    this.mark(given, round, ring.given, Given.BUFFER);
    // The ring's own parts come last: their pages are logged where SET_VRING_ADDR says.
    this.mark(given, round, ring.parts, Given.RING);
    const file = readFileSync(`/proc/self/fd/${logFd}`);
    const isLogged = round.logHolds && logLength >= LOG.full;
    for (let page = 0; page < MEMORY / PAGE; page++) {
      const isMarked = (file[LOG.offset + (page >> 3)] & (1 << (page & 7))) !== 0;
      const written = this.written(ring, page);
      const stray = written.find((at) => given[at] === Given.NOT);
      if (stray !== undefined)
        this.complain(`byte 0x${stray.toString(16)} became ${ring.bytes[stray]}, which nobody gave away`);
      else if (!isLogged || isMarked) continue;
      else if (written.some((at) => given[at] === Given.BUFFER || round.ringIsLogged))
        this.complain(`page ${page} was written and is not in the log`);
      else continue;
      return;
    }
    for (const [at, length] of this.besideLog(round)) {
      if (file.subarray(at, at + length).some((byte) => byte !== CANARY))
        this.complain(`something was logged beside a log of ${logLength} bytes`);
    }
  }

  /** Addresses in a page that the device wrote. */
  private written({ bytes, shadow }: HostileRing, page: number): number[] {
    const start = page * PAGE;
    const end = start + PAGE;
    if (Buffer.compare(bytes.subarray(start, end), shadow.subarray(start, end)) === 0) return [];
    return Array.from({ length: PAGE }, (_, i) => start + i).filter((at) => bytes[at] !== shadow[at]);
  }

  /** A ring that has stopped has used each chain that it took, once, and tracks none. */
  private checkUsed(round: Round, base: number): void {
    const { ring, usedBefore, inflightFd, inflightQueues, index } = round;
    // What is read into the ring itself may say anything.
    if (ring.given.some(([address]) => address < PARTS.buffers)) return;
    if (ring.packed) {
      const taken = base & 0xffff;
      const used = base >>> 16;
      const { place, wrap } = ring.collectUsed();
      const seen = place | (wrap ? PackedVringBase.AVAIL_WRAP : 0);
      if (taken !== used) this.complain(`it took chains up to ${taken} and used them up to ${used}`);
      if (ring.orderly && seen !== used)
        this.complain(`it used chains up to ${used}, and the driver saw ${seen}`);
    } else {
      // A tracked ring goes on from the used ring's index, whatever SET_VRING_BASE said. The buffer may be for fewer rings.
      const tracked = inflightFd !== undefined && index < inflightQueues;
      const taken = tracked ? (base - usedBefore) & 0xffff : base;
      const used = (ring.usedIndex - usedBefore) & 0xffff;
      if (taken !== used) this.complain(`it took ${taken} chains and used ${used}`);
    }
    if (inflightFd === undefined) return;
    const entry = ring.packed ? PackedEntry.LENGTH : SplitEntry.LENGTH;
    const start = ring.packed ? PackedRegion.ENTRIES : SplitRegion.ENTRIES;
    const file = readFileSync(`/proc/self/fd/${inflightFd}`);
    const stride = file.length / inflightQueues;
    const region = file.subarray(index * stride, (index + 1) * stride);
    // Zeroes follow the last entry.
    for (let at = start; at < region.length; at += entry) {
      if (region[at] !== 0) this.complain(`in-flight entry at byte ${at} is still set`);
    }
  }

  private mark(given: Uint8Array, { iommu }: Round, ranges: Iterable<[number, number]>, mark: number): void {
    for (const range of ranges) {
      for (const [address, length] of iommu?.reach(...range) ?? [range]) {
        if (address < MEMORY) given.fill(mark, address, Math.min(MEMORY, address + length));
      }
    }
  }

  /** What of the log's file is not log, as [offset, bytes]. */
  private besideLog({ logLength }: Round): [number, number][] {
    const end = LOG.offset + logLength;
    return [
      [0, LOG.offset],
      [end, LOG.file - end],
    ];
  }

  private checkLetGo(before: { fds: number; mappings: number }): void {
    const { fds, mappings } = resources();
    if (fds !== before.fds) this.complain(`${before.fds} descriptors became ${fds}`);
    if (mappings !== before.mappings) this.complain(`${before.mappings} mappings became ${mappings}`);
  }

  private complain(what: string): void {
    this.complaints.push(what);
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
    if ((await Promise.race([done, late])) === 'late') this.complain('an answer did not come');
    clearTimeout(timer);
    clearInterval(clearing);
  }

  private async alone(): Promise<void> {
    const end = Date.now() + PATIENCE;
    while (this.server!.targets.some(({ vhostUser }) => vhostUser[0].state.frontEnd !== undefined)) {
      if (Date.now() > end) {
        this.complain('a connection did not end');
        return;
      }
      await sleep(1);
    }
  }

  private async checkAlive(path: string): Promise<void> {
    const { driver, leave } = await bootGuest(FrontEnd.connect(path));
    const { status } = await driver.execute({ cdb: [0x12, 0, 0, 0, 96, 0], dataInLength: 96 });
    if (status !== 0) this.complain(`the next guest's INQUIRY ended with status ${status}`);
    leave();
    await this.alone();
  }
}
