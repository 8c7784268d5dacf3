/** READ (6), (10), (12), (16), (32) (SBC-3 5.7 to 5.11). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { type CdbForm, FORM_10, FORM_12, FORM_16, FORM_32, VARIABLE_LENGTH } from './cdb-form.ts';
import { startCutRead } from './cut-read.ts';
import { checkDpoFua, checkRange, checkTransferLength, FUA, PROTECT, startRead } from './medium-access.ts';
import { blockTransfer, hasType2Protection, plainTransfer } from './protect-field.ts';
import { startProtectedRead } from './protected-transfer.ts';
import { any, CONTROL } from './usage.ts';

/** RDPROTECT, DPO, FUA. RARC is not offered. */
const FLAGS = 0xf8;

function read(task: Task, lba: number, blocks: number, form: CdbForm): void {
  const device: BlockDevice = blockDeviceOf(task);
  const flags = task.cdb[form.flagsByte];
  if (device.protection.type !== 0) return readProtected(task, device, lba, blocks, form);
  if ((flags & PROTECT) !== 0) return task.failCdbField(form.flagsByte, 7);
  if (!checkDpoFua(task, device, flags) || !checkRange(task, device, lba, blocks, form.lbaByte)) return;
  if (!checkTransferLength(task, device, blocks, form.lengthByte)) return;
  const { byteLength } = task.dataIn;
  if (byteLength < blocks * device.blockSize && byteLength % device.blockSize !== 0) {
    startCutRead(task, device, (flags & FUA) !== 0);
  } else startRead(task, device, (flags & FUA) !== 0);
}

function readProtected(task: Task, device: BlockDevice, lba: number, blocks: number, form: CdbForm): void {
  const flags = task.cdb[form.flagsByte];
  const transfer = blockTransfer(task, device, lba, form.flagsByte);
  if (transfer === undefined || !checkDpoFua(task, device, flags, form.flagsByte)) return;
  if (!checkRange(task, device, lba, blocks, form.lbaByte)) return;
  if (checkTransferLength(task, device, blocks, form.lengthByte)) {
    startProtectedRead(task, device, transfer, (flags & FUA) !== 0);
  }
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
      if (!checkRange(task, device, lba, cdb[4] === 0 ? 256 : cdb[4], 1)) return;
      if (device.protection.type === 0) return startRead(task, device, false);
      startProtectedRead(task, device, plainTransfer(task, device, lba), false);
    },
  },
  {
    ...common,
    name: 'READ(10)',
    opcode: 0x28,
    cdbLength: 10,
    usage: FORM_10.usage(0x28, FLAGS),
    standard: 'SBC-3 5.8',
    handler: (task) => read(task, u32(task.cdb, 2), u16(task.cdb, 7), FORM_10),
  },
  {
    ...common,
    name: 'READ(12)',
    opcode: 0xa8,
    cdbLength: 12,
    usage: FORM_12.usage(0xa8, FLAGS),
    standard: 'SBC-3 5.9',
    handler: (task) => read(task, u32(task.cdb, 2), u32(task.cdb, 6), FORM_12),
  },
  {
    ...common,
    name: 'READ(16)',
    opcode: 0x88,
    cdbLength: 16,
    usage: FORM_16.usage(0x88, FLAGS),
    standard: 'SBC-3 5.10',
    handler: (task) => read(task, u64(task.cdb, 2), u32(task.cdb, 10), FORM_16),
  },
  {
    ...common,
    name: 'READ(32)',
    opcode: VARIABLE_LENGTH,
    serviceAction: 0x0009,
    cdbLength: 32,
    usage: FORM_32.usage(0x0009, FLAGS),
    standard: 'SBC-3 5.11',
    supported: hasType2Protection,
    handler: (task) => read(task, FORM_32.lba(task.cdb), FORM_32.blocks(task.cdb), FORM_32),
  },
];
