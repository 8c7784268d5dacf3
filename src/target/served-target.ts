/** One SCSI target device: its LUN map, its disks, and its vhost-user port. */
import { VhostUserTarget } from '../fabrics/vhost-user/vhost-user-target.ts';
import type { Environment } from '../scsi/environment.ts';
import { LunMap } from '../scsi/lun-map.ts';
import { WellKnownUnit } from '../scsi/well-known-unit.ts';
import { closeAll } from './close-all.ts';
import { deriveSerial, deriveWwn, diskIdentity, sasTransportId } from './disk-identity.ts';
import { closeBackstores, type ServedDisk } from './served-disk.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

/** RELATIVE TARGET PORT IDENTIFIER of the vhost-user port; other fabrics' ports of the target follow. */
const VHOST_USER_PORT = 1;
/** PROTOCOL IDENTIFIER (SPC-4 table 440): virtio has none of its own, and guests take its names for SAS. */
const SAS = 6;

export class ServedTarget {
  readonly socketPath: string;
  /** The WWN of the target port, `naa.…`; the same after every restart. */
  readonly name: string;
  readonly lunMap: LunMap;
  /** By LUN. */
  readonly disks: ServedDisk[] = [];
  vhostUser: VhostUserTarget | undefined = undefined;

  constructor(socketPath: string, environment: Environment) {
    this.socketPath = socketPath;
    this.name = deriveWwn(socketPath);
    const identity = diskIdentity(deriveSerial(`${this.name} REPORT LUNS`), 'lunport');
    this.lunMap = new LunMap(new WellKnownUnit(environment, identity));
  }

  add(lun: number, disk: ServedDisk): void {
    this.disks[lun] = disk;
    this.lunMap.add(lun, disk.unit);
  }

  /** Throws LunportError when the socket cannot be had. */
  async listen(shard: Shard, log: Log): Promise<void> {
    const { socketPath, lunMap, name } = this;
    // Whoever connects to this socket is one initiator, today and after a restart.
    const initiator = deriveWwn(`${socketPath} initiator`);
    const { engine, memory, poller, environment } = shard;
    const vhostUser = new VhostUserTarget({
      socketPath,
      engine,
      memory,
      poller,
      environment,
      lunMap,
      initiatorPort: { name: initiator, transportId: sasTransportId(initiator) },
      targetPort: { name, relativeId: VHOST_USER_PORT, protocol: SAS },
      logger: log,
    });
    await vhostUser.listen();
    this.vhostUser = vhostUser;
  }

  /** Disconnects initiators, then makes every disk durable and gives it back. */
  async close(): Promise<void> {
    await closeAll([() => this.vhostUser?.close(), ...this.disks.map((disk) => () => closeBackstores(disk))]);
  }
}
