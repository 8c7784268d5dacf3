/** READ (6), (10), (12), (16) (SBC-3 5.7 to 5.11). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { checkDpoFua, checkRange, checkTransferLength, FUA, PROTECT, startRead } from './medium-access.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';

/** RDPROTECT, DPO, FUA. RARC is not offered. */
const FLAGS = 0xf8;

function read(task: Task, lba: number, blocks: number, lengthByte: number): void {
  const device: BlockDevice = blockDeviceOf(task);
  const flags = task.cdb[1];
  if ((flags & PROTECT) !== 0) return task.failCdbField(1, 7);
  if (!checkDpoFua(task, device, flags) || !checkRange(task, device, lba, blocks, 2)) return;
  if (checkTransferLength(task, device, blocks, lengthByte)) startRead(task, device, (flags & FUA) !== 0);
}

const common = {
  direction: 'in',
  reservation: 'read',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: false,
  timeout: 30,
} as const;

export const readCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'READ(6)',
    opcode: 0x08,
    cdbLength: 6,
    usage: [0x08, 0x1f, ...any(3), CONTROL],
    standard: 'SBC-3 5.7',
    handler: (task) => {
      const { cdb } = task;
      const device = blockDeviceOf(task);
      const lba = ((cdb[1] & 0x1f) << 16) | u16(cdb, 2);
      // A TRANSFER LENGTH of 0 means 256 blocks, in the 6-byte commands only.
      if (checkRange(task, device, lba, cdb[4] === 0 ? 256 : cdb[4], 1)) startRead(task, device, false);
    },
  },
  {
    ...common,
    name: 'READ(10)',
    opcode: 0x28,
    cdbLength: 10,
    usage: [0x28, FLAGS, ...any(4), GROUP_NUMBER, ...any(2), CONTROL],
    standard: 'SBC-3 5.8',
    handler: (task) => read(task, u32(task.cdb, 2), u16(task.cdb, 7), 7),
  },
  {
    ...common,
    name: 'READ(12)',
    opcode: 0xa8,
    cdbLength: 12,
    usage: [0xa8, FLAGS, ...any(4), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.9',
    handler: (task) => read(task, u32(task.cdb, 2), u32(task.cdb, 6), 6),
  },
  {
    ...common,
    name: 'READ(16)',
    opcode: 0x88,
    cdbLength: 16,
    usage: [0x88, FLAGS, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.10',
    handler: (task) => read(task, u64(task.cdb, 2), u32(task.cdb, 10), 10),
  },
];
