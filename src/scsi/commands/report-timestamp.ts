/** REPORT TIMESTAMP (SPC-4 6.38). */
import { blockDeviceOf } from '../block-device-of.ts';
import { putU16, putU48, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { any, CONTROL, reserved } from './usage.ts';

const SERVICE_ACTION = 0x0f;
const LENGTH = 12;

export const reportTimestampCommands: readonly CommandRow[] = [
  {
    name: 'REPORT TIMESTAMP',
    opcode: 0xa3,
    serviceAction: SERVICE_ACTION,
    cdbLength: 12,
    usage: [0xa3, SERVICE_ACTION, ...reserved(4), ...any(4), 0, CONTROL],
    direction: 'in',
    reservation: 'allowed',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.38',
    handler: (task) => {
      const { clock } = blockDeviceOf(task);
      const data = new Uint8Array(LENGTH);
      putU16(data, 0, LENGTH - 2);
      data[2] = clock.origin;
      putU48(data, 4, clock.timestamp);
      task.respond(data, u32(task.cdb, 6));
    },
  },
];
