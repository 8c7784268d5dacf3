/** One SCSI target device: its LUN map, its disks, and the sockets at which virtual machines are met. */
import { type SocketRole, VhostUserTarget } from '../fabrics/vhost-user/vhost-user-target.ts';
import type { Environment } from '../scsi/environment.ts';
import { LunMap } from '../scsi/lun-map.ts';
import { WellKnownUnit } from '../scsi/well-known-unit.ts';
import { closeAll } from './close-all.ts';
import { deriveSerial, deriveWwn, diskIdentity, sasTransportId } from './disk-identity.ts';
import { closeBackstores, type ServedDisk } from './served-disk.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

/** RELATIVE TARGET PORT IDENTIFIER of the vhost-user port, whatever the socket; other fabrics' ports of the target follow. */
const VHOST_USER_PORT = 1;
/** PROTOCOL IDENTIFIER (SPC-4 table 440): virtio has none of its own, and guests take its names for SAS. */
const SAS = 6;

/** Where one virtual machine is met. */
export interface SocketSpec {
  /** Absolute. */
  readonly path: string;
  readonly role: SocketRole;
}

export class ServedTarget {
  /** One per virtual machine; at least one. */
  readonly sockets: readonly SocketSpec[];
  /** The WWN of the target port, `naa.…`, from the first socket's path; the same after every restart. */
  readonly name: string;
  readonly lunMap: LunMap;
  /** By LUN; see `luns` for their order. */
  readonly disks = new Map<number, ServedDisk>();
  /** In the order of `sockets`. */
  readonly vhostUser: VhostUserTarget[] = [];

  constructor(sockets: readonly SocketSpec[], environment: Environment) {
    this.sockets = sockets;
    this.name = deriveWwn(sockets[0].path);
    const identity = diskIdentity(deriveSerial(`${this.name} REPORT LUNS`), 'lunport');
    this.lunMap = new LunMap(new WellKnownUnit(environment, identity));
  }

  add(lun: number, disk: ServedDisk): void {
    this.lunMap.add(lun, disk.unit);
    this.disks.set(lun, disk);
  }

  /** Takes a disk from every initiator; resolves when none of its tasks run. It still has to be closed. */
  async remove(lun: number): Promise<void> {
    const { unit } = this.disks.get(lun)!;
    this.disks.delete(lun);
    this.lunMap.remove(lun);
    await unit.nobody();
  }

  /** In ascending order. */
  luns(): number[] {
    return this.lunMap.luns();
  }

  /** Throws LunportError when a socket cannot be had. */
  open(shard: Shard, log: Log): void {
    const { lunMap, name } = this;
    const { engine, memory, poller, environment } = shard;
    for (const { path, role } of this.sockets) {
      const initiator = initiatorName(path);
      const vhostUser = new VhostUserTarget({
        socketPath: path,
        role,
        engine,
        memory,
        poller,
        environment,
        lunMap,
        initiatorPort: { name: initiator, transportId: sasTransportId(initiator) },
        targetPort: { name, relativeId: VHOST_USER_PORT, protocol: SAS },
        logger: log,
      });
      this.vhostUser.push(vhostUser);
      vhostUser.open();
    }
  }

  /** Disconnects initiators, then makes every disk durable and gives it back. */
  async close(): Promise<void> {
    await closeAll([
      async () => {
        await Promise.all(this.vhostUser.map((each) => each.close()));
      },
      ...[...this.disks.values()].map((disk) => () => closeBackstores(disk)),
    ]);
  }
}

/**
 * Whoever is met at this socket is one initiator, today and after a restart: a vhost-user front-end has no name of
 * its own, and a reservation must come back to the guest that made it.
 */
export function initiatorName(path: string): string {
  return deriveWwn(`${path} initiator`);
}
