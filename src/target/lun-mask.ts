/**
 * The LUNs of a target as some of its initiators see them (LIO's mapped LUNs): fewer, under other numbers, or
 * write-protected. It follows what is added to the target and removed from it.
 */
import type { LogicalUnit } from '../scsi/logical-unit.ts';
import { LunMap } from '../scsi/lun-map.ts';

/** One LUN as an initiator addresses it. */
export interface MappedLun {
  readonly lun: number;
  /** The target's LUN behind it. There may be none yet: it appears when one is added. */
  readonly targetLun: number;
  readonly writeProtected: boolean;
}

export interface LunView {
  /** Undefined: every LUN of the target under its own number, those that are yet to come included. */
  readonly luns?: readonly MappedLun[];
  /** Whether all of them are write-protected, whatever their entries say. */
  readonly readOnly?: boolean;
}

export class LunMask {
  readonly map: LunMap;
  private readonly view: LunView;

  /** `wellKnown` is the target's REPORT LUNS well-known logical unit. */
  constructor(view: LunView, wellKnown: LogicalUnit) {
    this.view = view;
    this.map = new LunMap(wellKnown);
  }

  add(targetLun: number, unit: LogicalUnit): void {
    for (const { lun, writeProtected } of this.mappingsOf(targetLun)) {
      this.map.add(lun, unit, writeProtected || this.view.readOnly === true);
    }
  }

  remove(targetLun: number): void {
    for (const { lun } of this.mappingsOf(targetLun)) this.map.remove(lun);
  }

  private mappingsOf(targetLun: number): readonly MappedLun[] {
    const { luns } = this.view;
    if (luns === undefined) return [{ lun: targetLun, targetLun, writeProtected: false }];
    return luns.filter((mapped) => mapped.targetLun === targetLun);
  }
}
