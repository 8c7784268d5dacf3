/** REPORT LUNS (SPC-4 6.33). */
import { putU16, putU32, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { encodeLunLevel } from '../lun-field.ts';
import { REPORT_LUNS_WELL_KNOWN_LUN } from '../lun-map.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

/**
 * SELECT REPORT (SPC-4 table 293, SPC-5 table 386). There are no conglomerates here, so no administrative and no
 * subsidiary units: 10h and 12h are empty, and 11h, which adds all units outside conglomerates, is 00h.
 */
const Select = {
  ADDRESSED: 0x00,
  WELL_KNOWN: 0x01,
  ALL: 0x02,
  ADMINISTRATIVE: 0x10,
  OUTSIDE_CONGLOMERATES: 0x11,
  CONGLOMERATE: 0x12,
} as const;

/** Also called for an absent LUN, which must answer it too (SPC-4 6.33). */
export function reportLuns(task: Task): void {
  const { cdb } = task;
  const luns = selectedLuns(task, cdb[2]);
  if (luns === undefined) return task.failCdbField(2);
  const data = new Uint8Array(8 + 8 * luns.length);
  putU32(data, 0, 8 * luns.length);
  for (const [i, lun] of luns.entries()) putU16(data, 8 + 8 * i, encodeLunLevel(lun));
  for (const itl of task.nexus!.itlNexuses())
    itl.unitAttentions.clear(Sense.REPORTED_LUNS_DATA_HAS_CHANGED.code);
  task.respond(data, u32(cdb, 6));
}

function selectedLuns(task: Task, select: number): number[] | undefined {
  const { lunMap } = task.nexus!;
  switch (select) {
    case Select.ADDRESSED:
    case Select.OUTSIDE_CONGLOMERATES:
      return lunMap.luns();
    case Select.WELL_KNOWN:
      return [REPORT_LUNS_WELL_KNOWN_LUN];
    case Select.ALL:
      return [...lunMap.luns(), REPORT_LUNS_WELL_KNOWN_LUN];
    case Select.ADMINISTRATIVE:
    case Select.CONGLOMERATE:
      return [];
    default:
      return undefined;
  }
}

export const reportLunsCommands: readonly CommandRow[] = [
  {
    name: 'REPORT LUNS',
    opcode: 0xa0,
    cdbLength: 12,
    usage: [0xa0, 0, 0xff, 0, 0, 0, ...any(4), 0, CONTROL],
    direction: 'in',
    reservation: 'allowed',
    alua: 'any',
    unitAttention: 'keep',
    headOfQueue: true,
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.33',
    handler: reportLuns,
  },
];
