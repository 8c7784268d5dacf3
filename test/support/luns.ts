/** DISKs, as on the command line, at LUNs 0, 1, … of a target. */
import { parseDisk } from '../../src/target/disk-spec.ts';
import type { LunSpec } from '../../src/target/server.ts';

export function luns(...disks: readonly string[]): LunSpec[] {
  return disks.map((text, lun) => ({ lun, disk: parseDisk(text) }));
}
