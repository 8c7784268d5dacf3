/**
 * A target with one disk in memory behind a vhost-user socket, and front-ends on it: what a test of the fabric
 * starts from. Everything is real but the guest: socket, descriptors, mapped memory, eventfds.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { RamBackstore } from '../../../src/backstores/ram-backstore.ts';
import { Initiator } from '../../../src/fabrics/loopback/initiator.ts';
import {
  VhostUserTarget,
  type VhostUserTargetOptions,
} from '../../../src/fabrics/vhost-user/vhost-user-target.ts';
import { DEFAULT_ATTRIBUTES } from '../../../src/scsi/device-attributes.ts';
import { Disk } from '../../../src/scsi/disk.ts';
import { LunMap } from '../../../src/scsi/lun-map.ts';
import { Nexus } from '../../../src/scsi/nexus.ts';
import { WellKnownUnit } from '../../../src/scsi/well-known-unit.ts';
import { sasTransportId } from '../../../src/target/disk-identity.ts';
import { Shard } from '../../../src/target/shard.ts';
import { TEST_IDENTITY } from '../core.ts';
import { HoldingBackstore } from '../holding-backstore.ts';
import { FrontEnd } from './front-end.ts';
import { GuestMemory, type RegionRequest } from './guest-memory.ts';
import { type DriverOptions, VirtioScsiDriver } from './virtio-scsi-driver.ts';

const INITIATOR = 'naa.5001405000000001';
const TARGET = 'naa.5001405000000002';
/** With a hole, as PCs have it. */
const USUAL_MEMORY: readonly RegionRequest[] = [
  { guestAddress: 0, length: 0xa0000 },
  { guestAddress: 0x10_0000, length: 0x70_0000 },
  { guestAddress: 0x1_0000_0000, length: 0x80_0000 },
];

/** A guest that has booted: its session with the target. */
export interface Guest {
  readonly frontEnd: FrontEnd;
  readonly memory: GuestMemory;
  readonly driver: VirtioScsiDriver;
  /** As QEMU does when it ends: without a word. */
  readonly leave: () => void;
}

export interface GuestOptions extends DriverOptions {
  readonly memory?: readonly RegionRequest[];
  /** The memory's file, which is taken over; default: a memfd. */
  readonly memoryFd?: number;
  /** Default: what QEMU takes. */
  readonly features?: bigint;
  readonly protocolFeatures?: bigint;
  /** Whether memory goes by ADD_MEM_REG (default) or SET_MEM_TABLE. */
  readonly slots?: boolean;
  /** Leave the power-on unit attention pending; default false. */
  readonly powerOn?: boolean;
}

export interface ServedOptions extends Partial<VhostUserTargetOptions> {
  /** Default 0: nothing spins. */
  readonly pollMicroseconds?: number;
}

export class Served {
  readonly shard: Shard;
  readonly lunMap: LunMap;
  readonly backstore: HoldingBackstore;
  readonly disk: Disk;
  readonly target: VhostUserTarget;
  readonly socketPath: string;
  /** What the target has said, oldest first. */
  readonly log: string[] = [];
  private readonly ram: RamBackstore;
  private readonly folder = temporaryFolder();
  private readonly guests: Guest[] = [];

  private constructor(options: ServedOptions) {
    this.shard = new Shard('auto', undefined, options.pollMicroseconds);
    this.lunMap = new LunMap(new WellKnownUnit(this.shard.environment, TEST_IDENTITY));
    this.socketPath = options.socketPath ?? join(this.folder.path, 'scsi.sock');
    this.ram = new RamBackstore('ram', 1 << 20, this.shard.engine, this.shard.memory);
    this.backstore = new HoldingBackstore(this.ram);
    this.disk = this.newDisk(this.backstore);
    this.lunMap.add(0, this.disk);
    const say = (message: string) => void this.log.push(message);
    this.target = new VhostUserTarget({
      socketPath: this.socketPath,
      engine: this.shard.engine,
      memory: this.shard.memory,
      poller: this.shard.poller,
      environment: this.shard.environment,
      lunMap: this.lunMap,
      initiatorPort: { name: INITIATOR, transportId: sasTransportId(INITIATOR) },
      targetPort: { name: TARGET, relativeId: 1, protocol: 6 },
      logger: { info: say, warn: say, error: say },
      ...options,
    });
  }

  static async start(options: ServedOptions = {}): Promise<Served> {
    const served = new Served(options);
    served.target.open();
    return served;
  }

  /** A further disk on the same blocks. */
  newDisk(backstore: HoldingBackstore = this.backstore): Disk {
    return new Disk(this.shard.environment, backstore, {
      identity: TEST_IDENTITY,
      attributes: DEFAULT_ATTRIBUTES,
    });
  }

  /** The disk claims to have `byteLength` bytes from now on, and says so. */
  grow(byteLength: number): void {
    this.backstore.grown = byteLength;
    this.disk.capacityChanged();
  }

  /** A further initiator, in this process. */
  initiator(name: string): Initiator {
    const transportId = sasTransportId(name);
    const nexus = new Nexus({ name, transportId }, { name: TARGET, relativeId: 1, protocol: 6 }, this.lunMap);
    return new Initiator(nexus, this.shard.environment);
  }

  /** A connected front-end that has said nothing yet. */
  connect(): FrontEnd {
    return FrontEnd.connect(this.socketPath);
  }

  /** A guest with memory, rings and a driver. */
  async boot(options: GuestOptions = {}): Promise<Guest> {
    const guest = await bootGuest(this.connect(), options);
    this.guests.push(guest);
    return guest;
  }

  /** Resolves when no front-end is connected. */
  async alone(): Promise<void> {
    await eventually(() => this.target.state.frontEnd === undefined);
  }

  async close(): Promise<void> {
    for (const guest of this.guests) guest.leave();
    this.backstore.hold = false;
    this.backstore.release();
    await this.target.close();
    await this.ram.close();
    await this.shard.close();
    this.folder.remove();
  }
}

/** A guest on a front-end that is connected, with memory, rings and a driver. */
export async function bootGuest(frontEnd: FrontEnd, options: GuestOptions = {}): Promise<Guest> {
  const memory = new GuestMemory(options.memory ?? USUAL_MEMORY, undefined, options.memoryFd);
  await frontEnd.negotiate(options.features, options.protocolFeatures);
  await frontEnd.shareMemory(memory, options.slots);
  const driver = await VirtioScsiDriver.start(frontEnd, memory, options);
  if (options.powerOn !== true && options.leaveDisabled !== true) {
    await driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
  }
  let left = false;
  const leave = () => {
    if (left) return;
    left = true;
    driver.close();
    frontEnd.close();
    memory.close();
  };
  return { frontEnd, memory, driver, leave };
}

/** Waits until `condition` holds; throws after five seconds. */
export async function eventually(condition: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`still not so after 5 s: ${String(condition)}`);
    await sleep(2);
  }
}

/** Descriptors and mappings of shared memory that this process has. */
export function resources(): { fds: number; mappings: number } {
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  return {
    fds: readdirSync('/proc/self/fd').length,
    mappings: maps.filter((line) => /memfd:lunport/.test(line)).length,
  };
}

/** The status and sense code (ASC and ASCQ) of a result; undefined without sense data. */
export function senseCode(sense: Uint8Array): number | undefined {
  return sense.length < 14 ? undefined : (sense[12] << 8) | sense[13];
}
