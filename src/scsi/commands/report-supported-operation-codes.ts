/** REPORT SUPPORTED OPERATION CODES (SPC-4 6.35): the command table itself, told to the initiator. */
import type { BlockDevice } from '../block-device.ts';
import { concatenate, putU16, putU32, u16, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

const SERVICE_ACTION = 0x0c;
const RCTD = 0x80;
const REPORTING_OPTIONS = 0x07;
const Reporting = { ALL: 0, OPCODE: 1, OPCODE_AND_SERVICE_ACTION: 2, EITHER: 3 } as const;

/** SUPPORT of the one-command format. */
const NOT_SUPPORTED = 0x01;
const SUPPORTED = 0x03;
const CTDP_ONE = 0x80;
/** Flags of a command descriptor. */
const CTDP_ALL = 0x02;
const SERVACTV = 0x01;

const TIMEOUTS_LENGTH = 12;

/** Command timeouts descriptor (SPC-4 6.35.4): nominal and recommended, in seconds. */
function timeouts(row: CommandRow): Uint8Array {
  const descriptor = new Uint8Array(TIMEOUTS_LENGTH);
  putU16(descriptor, 0, TIMEOUTS_LENGTH - 2);
  putU32(descriptor, 4, row.timeout);
  // Patience for a backing under load, before an initiator should give up.
  putU32(descriptor, 8, 2 * row.timeout);
  return descriptor;
}

function allCommands(task: Task, withTimeouts: boolean): Uint8Array {
  const unit = task.logicalUnit;
  const rows = unit.commands.rows.filter((row) => row.supported === undefined || row.supported(unit));
  const descriptors = rows.map((row) => {
    const descriptor = new Uint8Array(8);
    descriptor[0] = row.opcode;
    putU16(descriptor, 2, row.serviceAction ?? 0);
    descriptor[5] = (withTimeouts ? CTDP_ALL : 0) | (row.serviceAction === undefined ? 0 : SERVACTV);
    putU16(descriptor, 6, row.cdbLength);
    return withTimeouts ? concatenate([descriptor, timeouts(row)]) : descriptor;
  });
  const data = concatenate([new Uint8Array(4), ...descriptors]);
  putU32(data, 0, data.length - 4);
  return data;
}

function oneCommand(row: CommandRow | undefined, withTimeouts: boolean): Uint8Array {
  if (row === undefined) return Uint8Array.of(0, NOT_SUPPORTED, 0, 0);
  const data = concatenate([
    new Uint8Array(4),
    Uint8Array.from(row.usage),
    withTimeouts ? timeouts(row) : undefined,
  ]);
  data[1] = SUPPORTED | (withTimeouts ? CTDP_ONE : 0);
  putU16(data, 2, row.cdbLength);
  return data;
}

function reportSupportedOperationCodes(task: Task): void {
  const { cdb } = task;
  const unit = task.logicalUnit;
  const { commands } = unit;
  const withTimeouts = (cdb[2] & RCTD) !== 0;
  const opcode = cdb[3];
  const serviceAction = u16(cdb, 4);
  const allocationLength = u32(cdb, 6);
  const hasServiceActions = commands.hasServiceActions(opcode);
  switch (cdb[2] & REPORTING_OPTIONS) {
    case Reporting.ALL:
      return task.respond(allCommands(task, withTimeouts), allocationLength);
    case Reporting.OPCODE:
      if (hasServiceActions) return task.failCdbField(2, 2);
      break;
    case Reporting.OPCODE_AND_SERVICE_ACTION:
      if (!hasServiceActions) return task.failCdbField(2, 2);
      break;
    case Reporting.EITHER:
      // An opcode without service actions is not supported together with one.
      if (!hasServiceActions && serviceAction !== 0) {
        return task.respond(oneCommand(undefined, withTimeouts), allocationLength);
      }
      break;
    default:
      return task.failCdbField(2, 2);
  }
  const row = commands.supports(unit, opcode, serviceAction)
    ? commands.find(opcode, serviceAction)
    : undefined;
  task.respond(oneCommand(row, withTimeouts), allocationLength);
}

export const reportSupportedOperationCodesCommands: readonly CommandRow[] = [
  {
    name: 'REPORT SUPPORTED OPERATION CODES',
    opcode: 0xa3,
    serviceAction: SERVICE_ACTION,
    cdbLength: 12,
    usage: [0xa3, SERVICE_ACTION, RCTD | REPORTING_OPTIONS, 0xff, ...any(2), ...any(4), 0, CONTROL],
    direction: 'in',
    reservation: 'read',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.35',
    supported: (unit) => (unit as BlockDevice).attributes?.emulate_rsoc !== 0,
    handler: reportSupportedOperationCodes,
  },
];
