/** One SCSI target device: its LUN map, its disks, and its vhost-user port. */

import type { Environment } from '../scsi/environment.ts';
import { LunMap } from '../scsi/lun-map.ts';
import { WellKnownUnit } from '../scsi/well-known-unit.ts';
import { deriveSerial, deriveWwn, diskIdentity } from './disk-identity.ts';
import type { ServedDisk } from './served-disk.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

export class ServedTarget {
  readonly socketPath: string;
  /** The WWN of the target port, `naa.…`; the same after every restart. */
  readonly name: string;
  readonly lunMap: LunMap;
  /** By LUN. */
  readonly disks: ServedDisk[] = [];

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

  async listen(_shard: Shard, _log: Log): Promise<void> {}

  /** Disconnects initiators, then makes every disk durable and gives it back. */
  async close(): Promise<void> {
    for (const disk of this.disks) await disk.backstore.close();
  }
}
