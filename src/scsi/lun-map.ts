/** Which logical unit stands at which LUN for the initiators that share this map (SAM-5 4.7; LIO's luns and acls). */
import type { LogicalUnit } from './logical-unit.ts';
import type { Nexus } from './nexus.ts';

/** Flat space addressing ends here (SAM-5 4.7.7.4). */
export const MAX_LUN = 0x3fff;
/** The REPORT LUNS well-known logical unit (SAM-5 4.7.7.5.1), as the fabrics hand it to the core. */
export const REPORT_LUNS_WELL_KNOWN_LUN = 0xc101;
/** What a fabric passes for a LUN field that it could not decode. */
export const INVALID_LUN = -1;

export interface LunMapEntry {
  readonly logicalUnit: LogicalUnit;
  readonly writeProtected: boolean;
}

export class LunMap {
  private readonly entries = new Map<number, LunMapEntry>();
  private readonly nexuses = new Set<Nexus>();
  private readonly wellKnown: LogicalUnit | undefined;

  /** `wellKnown` is the target's REPORT LUNS well-known logical unit. */
  constructor(wellKnown?: LogicalUnit) {
    this.wellKnown = wellKnown;
  }

  /** Maps `logicalUnit` at `lun`; initiators already connected get 3F/0E on their other units. */
  add(lun: number, logicalUnit: LogicalUnit, writeProtected = false): void {
    if (!Number.isInteger(lun) || lun < 0 || lun > MAX_LUN) {
      throw new RangeError(`Expected a LUN from 0 to ${MAX_LUN} but received ${lun}`);
    }
    if (this.entries.has(lun)) throw new RangeError(`LUN ${lun} is mapped already`);
    this.entries.set(lun, { logicalUnit, writeProtected });
    for (const nexus of this.nexuses) {
      nexus.lunsChanged();
      nexus.attach(lun, logicalUnit, writeProtected);
      nexus.listener?.unitAdded(lun);
    }
  }

  remove(lun: number): void {
    if (!this.entries.delete(lun)) return;
    for (const nexus of this.nexuses) {
      nexus.detach(lun);
      nexus.lunsChanged();
      nexus.listener?.unitRemoved(lun);
    }
  }

  get(lun: number): LunMapEntry | undefined {
    return this.entries.get(lun);
  }

  /** LUNs in ascending order. */
  luns(): number[] {
    return [...this.entries.keys()].sort((a, b) => a - b);
  }

  /** The nexuses that see this map. */
  get connected(): Iterable<Nexus> {
    return this.nexuses;
  }

  join(nexus: Nexus): void {
    this.nexuses.add(nexus);
    for (const [lun, entry] of this.entries) nexus.attach(lun, entry.logicalUnit, entry.writeProtected);
    if (this.wellKnown !== undefined) nexus.attach(REPORT_LUNS_WELL_KNOWN_LUN, this.wellKnown, false);
  }

  leave(nexus: Nexus): void {
    this.nexuses.delete(nexus);
  }
}
