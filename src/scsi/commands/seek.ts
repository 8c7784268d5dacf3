/** REZERO UNIT and SEEK (6), (10) (SCSI-2 9.2.12, 9.2.15), for guests old enough to send them. */
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { checkRange } from './medium-access.ts';
import { any, CONTROL, reserved } from './usage.ts';

/** There is no head to move: only the LBA can be wrong. */
function seek(task: Task, lba: number, lbaByte: number): void {
  if (!checkRange(task, blockDeviceOf(task), lba, 1, lbaByte)) return;
  task.blocks = 0;
  task.good();
}

const common = {
  direction: 'none',
  reservation: 'read',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: false,
  timeout: 10,
} as const;

export const seekCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'REZERO UNIT',
    opcode: 0x01,
    cdbLength: 6,
    usage: [0x01, ...reserved(4), CONTROL],
    standard: 'SCSI-2 9.2.12',
    handler: (task) => task.good(),
  },
  {
    ...common,
    name: 'SEEK(6)',
    opcode: 0x0b,
    cdbLength: 6,
    usage: [0x0b, 0x1f, ...any(2), 0, CONTROL],
    standard: 'SCSI-2 9.2.15',
    handler: (task) => seek(task, ((task.cdb[1] & 0x1f) << 16) | u16(task.cdb, 2), 1),
  },
  {
    ...common,
    name: 'SEEK(10)',
    opcode: 0x2b,
    cdbLength: 10,
    usage: [0x2b, 0, ...any(4), ...reserved(3), CONTROL],
    standard: 'SCSI-2 9.2.15',
    handler: (task) => seek(task, u32(task.cdb, 2), 2),
  },
];
