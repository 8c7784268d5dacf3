/** One SCSI target device: its LUN map, its disks, and the sockets at which virtual machines are met. */
import { BlockInitiator } from '../fabrics/loopback/block-initiator.ts';
import { Initiator } from '../fabrics/loopback/initiator.ts';
import { BlkDevice, type BlkDeviceOptions } from '../fabrics/vhost-user/blk-device.ts';
import { type SocketRole, VhostUserTarget } from '../fabrics/vhost-user/vhost-user-target.ts';
import type { Environment } from '../scsi/environment.ts';
import { LunMap } from '../scsi/lun-map.ts';
import { Nexus } from '../scsi/nexus.ts';
import type { TargetPort } from '../scsi/port.ts';
import { WellKnownUnit } from '../scsi/well-known-unit.ts';
import { deriveSerial, deriveWwn, diskIdentity, sasTransportId } from './disk-identity.ts';
import type { DiskSpec } from './disk-spec.ts';
import { LunportError } from './errors.ts';
import { LunMask, type LunView, type MappedLun } from './lun-mask.ts';
import type { ServedDisk } from './served-disk.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

/**
 * RELATIVE TARGET PORT IDENTIFIERs of a target, counted from its `firstPort`: the vhost-user port, whatever the
 * socket; other fabrics' ports follow.
 */
const VHOST_USER_PORT = 1;
/** Of the initiators in this process. */
const LOOPBACK_PORT = 0x200;
const MAX_INITIATORS = 64;
/** PROTOCOL IDENTIFIER (SPC-4 table 440): virtio has none of its own, and guests take its names for SAS. */
const SAS = 6;

/** Where one virtual machine is met. */
export interface SocketSpec {
  /** Absolute. */
  readonly path: string;
  readonly role: SocketRole;
  /** WWN of the initiator there; default: from the path. */
  readonly initiator?: string;
  /** What it sees; default: all of the target. */
  readonly luns?: readonly MappedLun[];
}

/** Which virtio device a virtual machine finds at a socket. */
export type DeviceKind = 'scsi' | 'blk';

/** A disk that was to be served and could not be had. */
export interface AbsentDisk {
  readonly spec: DiskSpec;
  readonly reason: string;
}

export interface ServedTargetOptions {
  /** One per virtual machine; at least one. */
  readonly sockets: readonly SocketSpec[];
  /** Default: a SCSI host. */
  readonly device?: DeviceKind;
  /** WWN of its ports, `naa.…`; default: from the first socket's path. */
  readonly wwn?: string;
  /** What its relative port identifiers are counted from. */
  readonly firstPort: number;
  readonly environment: Environment;
}

/** The LUN that a block device is. */
const BLOCK_LUN = 0;
const ID_LENGTH = 20;

export class ServedTarget {
  /** One per virtual machine; at least one. */
  readonly sockets: readonly SocketSpec[];
  readonly device: DeviceKind;
  /** The WWN of the target port, `naa.…`; the same after every restart. */
  readonly name: string;
  readonly firstPort: number;
  /** The target's own LUNs, as every initiator sees them that no mask was made for. */
  readonly lunMap: LunMap;
  /** By LUN; see `luns` for their order. */
  readonly disks = new Map<number, ServedDisk>();
  /** By LUN: what the configuration says, and nobody can use. */
  readonly absent = new Map<number, AbsentDisk>();
  private readonly initiators = new Map<string, Initiator>();
  private readonly wellKnown: WellKnownUnit;
  private masks: LunMask[] = [];
  private readonly ports: TargetPort[] = [];
  /** In the order of `sockets`. */
  readonly vhostUser: VhostUserTarget[] = [];

  constructor({ sockets, device = 'scsi', wwn, firstPort, environment }: ServedTargetOptions) {
    this.device = device;
    this.sockets = sockets;
    this.firstPort = firstPort;
    this.name = targetWwn({ sockets, wwn });
    const identity = diskIdentity(deriveSerial(`${this.name} REPORT LUNS`), 'lunport');
    this.wellKnown = new WellKnownUnit(environment, identity);
    this.lunMap = new LunMap(this.wellKnown);
  }

  add(lun: number, disk: ServedDisk): void {
    for (const port of this.ports) disk.unit.announce(port);
    this.lunMap.add(lun, disk.unit);
    for (const mask of this.masks) mask.add(lun, disk.unit);
    this.disks.set(lun, disk);
  }

  /** A port that initiators will come to: its logical units tell of it from now on. */
  announce(port: TargetPort): void {
    this.ports.push(port);
    this.wellKnown.announce(port);
    for (const { unit } of this.disks.values()) unit.announce(port);
  }

  /** The target's LUNs as `view` has them, now and as they come and go. */
  mask(view: LunView): LunMap {
    const mask = new LunMask(view, this.wellKnown);
    this.masks.push(mask);
    for (const [lun, { unit }] of this.disks) mask.add(lun, unit);
    return mask.map;
  }

  /** When nobody uses the map any more. */
  unmask(map: LunMap): void {
    this.masks = this.masks.filter((mask) => mask.map !== map);
  }

  /** Everybody who is connected, whatever LUNs they see. */
  nexuses(): Nexus[] {
    return this.lunMaps().flatMap(({ connected }) => [...connected]);
  }

  private lunMaps(): LunMap[] {
    return [this.lunMap, ...this.masks.map(({ map }) => map)];
  }

  /** Takes a disk from its initiators here; resolves when none of their tasks run. It still has to be closed. */
  async remove(lun: number): Promise<void> {
    const { unit } = this.disks.get(lun)!;
    this.disks.delete(lun);
    this.lunMap.remove(lun);
    for (const mask of this.masks) mask.remove(lun);
    const maps = new Set(this.lunMaps());
    await unit.nobody(({ nexus }) => maps.has(nexus.lunMap));
  }

  /** In ascending order. */
  luns(): number[] {
    return this.lunMap.luns();
  }

  /** `ready`: until then, the requests of virtual machines wait. Throws LunportError when a socket cannot be had. */
  async open(shard: Shard, log: Log, ready?: Promise<void>): Promise<void> {
    try {
      await this.openSockets(shard, log, ready);
    } catch (error) {
      await Promise.all(this.vhostUser.splice(0).map((each) => each.close()));
      throw error;
    }
  }

  private async openSockets(shard: Shard, log: Log, ready: Promise<void> | undefined): Promise<void> {
    const { lunMap, name } = this;
    const { engine, memory, poller, environment } = shard;
    for (const socket of this.sockets) {
      const { path, role, luns } = socket;
      const initiator = initiatorName(socket);
      let block: BlkDeviceOptions | undefined;
      const vhostUser: VhostUserTarget = new VhostUserTarget({
        socketPath: path,
        role,
        engine,
        memory,
        poller,
        environment,
        lunMap: luns === undefined ? lunMap : this.mask({ luns }),
        initiatorPort: { name: initiator, transportId: sasTransportId(initiator) },
        targetPort: { name, relativeId: this.firstPort + VHOST_USER_PORT, protocol: SAS },
        logger: log,
        ready,
        // A block device's driver asks for its size; a SCSI host's has all that it needs from QEMU.
        offerConfig: this.device === 'blk',
        createDevice: this.device === 'blk' ? (host) => new BlkDevice(host, block!) : undefined,
      });
      this.vhostUser.push(vhostUser);
      if (this.device === 'blk') block = await this.blockDevice(vhostUser.nexus, environment);
      vhostUser.open();
    }
  }

  private async blockDevice(nexus: Nexus, environment: Environment): Promise<BlkDeviceOptions> {
    const disk = await BlockInitiator.open(nexus, BLOCK_LUN, environment);
    const { serial } = this.disks.get(BLOCK_LUN)!.unit.identity;
    return { disk, serial: Buffer.from(serial, 'ascii').subarray(0, ID_LENGTH) };
  }

  /**
   * An initiator of this process, told from others by `name`: there from the first time that it is named, and the same
   * after a restart. Throws LunportError when there are too many.
   */
  initiator(name: string, environment: Environment): Initiator {
    const known = this.initiators.get(name);
    if (known !== undefined) return known;
    if (this.initiators.size === MAX_INITIATORS) {
      throw new LunportError({
        code: 'too-many-initiators',
        object: name,
        message: `There are ${MAX_INITIATORS} initiators of other names on ${this.sockets[0].path} already`,
        hint: 'Use one of those names again.',
      });
    }
    const wwn = deriveWwn(`${this.name} loopback ${name}`);
    const relativeId = this.firstPort + LOOPBACK_PORT;
    const targetPort = { name: deriveWwn(`${this.name} loopback`), relativeId, protocol: SAS };
    const nexus = new Nexus({ name: wwn, transportId: sasTransportId(wwn) }, targetPort, this.lunMap);
    const initiator = new Initiator(nexus, environment);
    this.initiators.set(name, initiator);
    return initiator;
  }

  /** Ends what `initiator` made; commands under way are aborted, registrations stay. */
  async disconnect(name: string): Promise<void> {
    const initiator = this.initiators.get(name);
    this.initiators.delete(name);
    await initiator?.close();
  }

  /** Disconnects initiators, whose tasks have ended then. */
  async disconnectAll(): Promise<void> {
    await Promise.all([...this.vhostUser, ...this.initiators.values()].map((each) => each.close()));
  }
}

/** `naa.…`, of a target that may have been given one. */
export function targetWwn(options: Pick<ServedTargetOptions, 'sockets' | 'wwn'>): string {
  return targetNames(options)[0];
}

/** What the target may be remembered by: its name, and those that it has when another of its sockets is the first. */
export function targetNames({ sockets, wwn }: Pick<ServedTargetOptions, 'sockets' | 'wwn'>): string[] {
  return wwn === undefined ? sockets.map(({ path }) => deriveWwn(path)) : [wwn];
}

/**
 * Whoever is met at this socket is one initiator, today and after a restart: a vhost-user front-end has no name of
 * its own, and a reservation must come back to the guest that made it.
 */
export function initiatorName({ path, initiator }: SocketSpec): string {
  return initiator ?? deriveWwn(`${path} initiator`);
}
