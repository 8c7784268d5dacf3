/**
 * READ DEFECT DATA (10) and (12) (SBC-3 5.17, 5.18). Whatever holds our blocks replaces bad ones without telling
 * us, so both lists are always valid and empty.
 */
import { putU16, u16, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { any, CONTROL, reserved } from './usage.ts';

/** REQ_PLIST, REQ_GLIST, DEFECT LIST FORMAT; they come back in the same bits of the header. */
const LISTS = 0x18;
const FORMAT = 0x07;
/** Vendor specific and reserved DEFECT LIST FORMATs (SBC-3 table 62). */
const FIRST_UNKNOWN_FORMAT = 6;

function checkFormat(task: Task, flagsByte: number): boolean {
  if ((task.cdb[flagsByte] & FORMAT) < FIRST_UNKNOWN_FORMAT) return true;
  task.failCdbField(flagsByte, 2);
  return false;
}

function readDefectData10(task: Task): void {
  if (!checkFormat(task, 2)) return;
  const data = new Uint8Array(4);
  data[1] = task.cdb[2] & (LISTS | FORMAT);
  task.respond(data, u16(task.cdb, 7));
}

function readDefectData12(task: Task): void {
  if (!checkFormat(task, 1)) return;
  const data = new Uint8Array(8);
  data[1] = task.cdb[1] & (LISTS | FORMAT);
  // GENERATION CODE: 0 would mean that it is not supported; ours never changes.
  putU16(data, 2, 1);
  task.respond(data, u32(task.cdb, 6));
}

const common = {
  direction: 'in',
  reservation: 'read',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: false,
  timeout: 10,
} as const;

export const readDefectDataCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'READ DEFECT DATA(10)',
    opcode: 0x37,
    cdbLength: 10,
    usage: [0x37, 0, LISTS | FORMAT, ...reserved(4), ...any(2), CONTROL],
    standard: 'SBC-3 5.17',
    handler: readDefectData10,
  },
  {
    ...common,
    name: 'READ DEFECT DATA(12)',
    opcode: 0xb7,
    cdbLength: 12,
    usage: [0xb7, LISTS | FORMAT, ...any(4), ...any(4), 0, CONTROL],
    standard: 'SBC-3 5.18',
    handler: readDefectData12,
  },
];
