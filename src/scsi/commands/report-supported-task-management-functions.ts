/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36). */
import { putU32, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { any, CONTROL, reserved } from './usage.ts';

const SERVICE_ACTION = 0x0d;
const REPD = 0x80;

/** Byte 0: ATS, ATSS, CACAS, CTSS, LURS, QTS. */
const ABORT_TASK = 0x80;
const ABORT_TASK_SET = 0x40;
const CLEAR_ACA = 0x20;
const CLEAR_TASK_SET = 0x10;
const LOGICAL_UNIT_RESET = 0x08;
const QUERY_TASK = 0x04;
/** Byte 1: QAES, QTSS, ITNRS. */
const QUERY_ASYNCHRONOUS_EVENT = 0x04;
const QUERY_TASK_SET = 0x02;
const I_T_NEXUS_RESET = 0x01;

const FUNCTIONS_0 =
  ABORT_TASK | ABORT_TASK_SET | CLEAR_ACA | CLEAR_TASK_SET | LOGICAL_UNIT_RESET | QUERY_TASK;
const FUNCTIONS_1 = QUERY_ASYNCHRONOUS_EVENT | QUERY_TASK_SET | I_T_NEXUS_RESET;

/** Timeouts are in units of 100 ms. They wait for running system calls, which a slow backing can delay. */
const LONG_TIMEOUT = 600;
const SHORT_TIMEOUT = 100;
const TMFTMOV = 0x01;

export const reportSupportedTaskManagementFunctionsCommands: readonly CommandRow[] = [
  {
    name: 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
    opcode: 0xa3,
    serviceAction: SERVICE_ACTION,
    cdbLength: 12,
    usage: [0xa3, SERVICE_ACTION, REPD, ...reserved(3), ...any(4), 0, CONTROL],
    direction: 'in',
    reservation: 'read',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.36',
    handler: (task) => {
      const { cdb } = task;
      const extended = (cdb[2] & REPD) !== 0;
      const data = new Uint8Array(extended ? 16 : 4);
      data[0] = FUNCTIONS_0;
      data[1] = FUNCTIONS_1;
      if (extended) {
        data[3] = data.length - 4;
        data[4] = TMFTMOV;
        // Which functions may take the long time: those that wait for other tasks.
        data[6] = FUNCTIONS_0 & ~QUERY_TASK;
        data[7] = I_T_NEXUS_RESET;
        putU32(data, 8, LONG_TIMEOUT);
        putU32(data, 12, SHORT_TIMEOUT);
      }
      task.respond(data, u32(cdb, 6));
    },
  },
];
