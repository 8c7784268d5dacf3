/** RECEIVE DIAGNOSTIC RESULTS (SPC-4 6.26): the list of diagnostic pages is the only page. */
import { u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

const PCV = 0x01;
export const SUPPORTED_DIAGNOSTIC_PAGES = 0x00;

function receiveDiagnosticResults(task: Task): void {
  const { cdb } = task;
  // Without PCV it is the page that SEND DIAGNOSTIC asked for last, and there is only one to ask for.
  if ((cdb[1] & PCV) !== 0 && cdb[2] !== SUPPORTED_DIAGNOSTIC_PAGES) return task.failCdbField(2);
  const page = Uint8Array.of(SUPPORTED_DIAGNOSTIC_PAGES, 0, 0, 1, SUPPORTED_DIAGNOSTIC_PAGES);
  task.respond(page, u16(cdb, 3));
}

export const receiveDiagnosticResultsCommands: readonly CommandRow[] = [
  {
    name: 'RECEIVE DIAGNOSTIC RESULTS',
    opcode: 0x1c,
    cdbLength: 6,
    usage: [0x1c, PCV, 0xff, ...any(2), CONTROL],
    direction: 'in',
    reservation: 'read',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.26',
    handler: receiveDiagnosticResults,
  },
];
