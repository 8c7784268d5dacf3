/** WRITE (6), (10), (12), (16) (SBC-3 5.29 to 5.33). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { checkDpoFua, checkRange, checkTransferLength, FUA, PROTECT, startWrite } from './medium-access.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';

/** WRPROTECT, DPO, FUA. */
const FLAGS = 0xf8;

function write(task: Task, lba: number, blocks: number, lengthByte: number): void {
  const device: BlockDevice = blockDeviceOf(task);
  const flags = task.cdb[1];
  if ((flags & PROTECT) !== 0) return task.failCdbField(1, 7);
  if (!checkDpoFua(task, device, flags) || !checkRange(task, device, lba, blocks, 2)) return;
  if (checkTransferLength(task, device, blocks, lengthByte)) startWrite(task, device, (flags & FUA) !== 0);
}

const common = {
  direction: 'out',
  reservation: 'write',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: true,
  timeout: 30,
} as const;

export const writeCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'WRITE(6)',
    opcode: 0x0a,
    cdbLength: 6,
    usage: [0x0a, 0x1f, ...any(3), CONTROL],
    standard: 'SBC-3 5.29',
    handler: (task) => {
      const { cdb } = task;
      const device = blockDeviceOf(task);
      const lba = ((cdb[1] & 0x1f) << 16) | u16(cdb, 2);
      // A TRANSFER LENGTH of 0 means 256 blocks, in the 6-byte commands only.
      if (checkRange(task, device, lba, cdb[4] === 0 ? 256 : cdb[4], 1)) startWrite(task, device, false);
    },
  },
  {
    ...common,
    name: 'WRITE(10)',
    opcode: 0x2a,
    cdbLength: 10,
    usage: [0x2a, FLAGS, ...any(4), GROUP_NUMBER, ...any(2), CONTROL],
    standard: 'SBC-3 5.30',
    handler: (task) => write(task, u32(task.cdb, 2), u16(task.cdb, 7), 7),
  },
  {
    ...common,
    name: 'WRITE(12)',
    opcode: 0xaa,
    cdbLength: 12,
    usage: [0xaa, FLAGS, ...any(4), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.31',
    handler: (task) => write(task, u32(task.cdb, 2), u32(task.cdb, 6), 6),
  },
  {
    ...common,
    name: 'WRITE(16)',
    opcode: 0x8a,
    cdbLength: 16,
    usage: [0x8a, FLAGS, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.32',
    handler: (task) => write(task, u64(task.cdb, 2), u32(task.cdb, 10), 10),
  },
];
