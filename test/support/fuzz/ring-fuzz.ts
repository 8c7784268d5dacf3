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
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import { Request, VhostFeature } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
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
import { besideLog, CANARY, checkMemory, checkUsed, type HostileRound, LOG } from './ring-checks.ts';

/** Milliseconds until an answer that does not come is a complaint: more than the back-end's own patience. */
const PATIENCE = 30_000;

export class RingFuzz {
  /** What went wrong, in words; empty when all is well. */
  readonly complaints: string[] = [];
  private readonly complain = (what: string): void => void this.complaints.push(what);
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
      log: { debug: silent, info: silent, warn: silent, error: this.complain },
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
    const round: HostileRound = {
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
    for (const [at, length] of besideLog(round)) {
      writeSync(round.logFd, new Uint8Array(length).fill(CANARY), 0, length, at);
    }
    try {
      await this.patiently(() => this.play(round));
    } finally {
      round.iommu?.close();
      round.frontEnd.close();
    }
    await this.alone();
    checkMemory(round, this.complain);
    if (round.base !== undefined && round.countsHold) checkUsed(round, round.base, this.complain);
    for (const fd of [round.kickFd, round.callFd, round.logFd, round.inflightFd])
      if (fd !== undefined) addon.close(fd);
    round.ring.memory.close();
  }

  private async play(round: HostileRound): Promise<void> {
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
  private async trackInflight(round: HostileRound): Promise<void> {
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

  private async handOver(round: HostileRound): Promise<void> {
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
    await frontEnd.kickWith(index, chance.oneIn(6) ? undefined : round.kickFd);
    await frontEnd.send(Request.SET_VRING_ENABLE, vringState(index, 1));
  }

  /** Changes something under the ring while it runs. */
  private async disturb(round: HostileRound): Promise<void> {
    const { chance } = this;
    const { frontEnd, index, ring } = round;
    switch (chance.below(6)) {
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
        await frontEnd.kickWith(index, chance.oneIn(2) ? undefined : round.kickFd);
        return;
      case 4:
        if (round.logLength === 0) return;
        await frontEnd.request(Request.SET_LOG_BASE, logBase(round.logLength, LOG.offset), [round.logFd]);
        return;
      default:
        await frontEnd.send(Request.RESET_DEVICE);
        ring.restart();
        await this.handOver(round);
    }
  }

  private checkLetGo(before: { fds: number; mappings: number }): void {
    const { fds, mappings } = resources();
    if (fds !== before.fds) this.complain(`${before.fds} descriptors became ${fds}`);
    if (mappings !== before.mappings) this.complain(`${before.mappings} mappings became ${mappings}`);
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
