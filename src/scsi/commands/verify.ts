/** VERIFY (10), (12), (16), (32) (SBC-3 5.28 to 5.31). */
import { blockDeviceOf } from '../block-device-of.ts';
import type { CommandRow } from '../command.ts';
import { chunkBytes } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { type CdbForm, FORM_10, FORM_12, FORM_16, FORM_32, VARIABLE_LENGTH } from './cdb-form.ts';
import { checkDataOut, compareAll, compareEach } from './data-out.ts';
import { checkDpoFua, checkRange, checkTransferLength, DPO } from './medium-access.ts';
import { eachPiece, type Piece, readChecked } from './pieces.ts';
import { blockTransfer, hasType2Protection } from './protect-field.ts';
import { runSteps } from './steps.ts';

/** VRPROTECT, DPO, BYTCHK. */
const FLAGS = 0xf6;
const BYTCHK_SHIFT = 1;

/** BYTCHK (SBC-3 table 110). */
export const ByteCheck = { NONE: 0, ALL: 1, RESERVED: 2, ONE: 3 } as const;

export function byteCheck(flags: number): number {
  return (flags >> BYTCHK_SHIFT) & 0x03;
}

function verify(task: Task, form: CdbForm): void {
  const device = blockDeviceOf(task);
  const { cdb } = task;
  const flags = cdb[form.flagsByte];
  const lba = form.lba(cdb);
  const blocks = form.blocks(cdb);
  const check = byteCheck(flags);
  const transfer = blockTransfer(task, device, lba, form.flagsByte);
  if (transfer === undefined) return;
  if (check === ByteCheck.RESERVED) return task.failCdbField(form.flagsByte, 2);
  if (!checkDpoFua(task, device, flags & DPO, form.flagsByte)) return;
  if (!checkRange(task, device, lba, blocks, form.lbaByte)) return;
  if (!checkTransferLength(task, device, blocks, form.lengthByte)) return;
  if (blocks === 0) return task.good();
  if (check === ByteCheck.NONE) {
    // The blocks can be read; nobody looks at them, only at their protection information.
    return runSteps(task, device, chunkBytes(device, blocks), async (medium) => {
      const read = (piece: Piece) => readChecked(task, medium, transfer, piece);
      return (await eachPiece(medium, transfer, blocks, read)) ?? Status.GOOD;
    });
  }
  if (!checkDataOut(task, transfer, check === ByteCheck.ALL ? blocks : 1, form.lengthByte)) return;
  const compare = check === ByteCheck.ALL ? compareAll : compareEach;
  // The blocks, and those to compare them with.
  const memory = 2 * chunkBytes(device, blocks);
  runSteps(task, device, memory, async (medium) => (await compare(task, medium, transfer)) ?? Status.GOOD);
}

const common = {
  direction: 'out',
  reservation: 'read',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: false,
  timeout: 60,
} as const;

export const verifyCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'VERIFY(10)',
    opcode: 0x2f,
    cdbLength: 10,
    usage: FORM_10.usage(0x2f, FLAGS),
    standard: 'SBC-3 5.28',
    handler: (task) => verify(task, FORM_10),
  },
  {
    ...common,
    name: 'VERIFY(12)',
    opcode: 0xaf,
    cdbLength: 12,
    usage: FORM_12.usage(0xaf, FLAGS),
    standard: 'SBC-3 5.29',
    handler: (task) => verify(task, FORM_12),
  },
  {
    ...common,
    name: 'VERIFY(16)',
    opcode: 0x8f,
    cdbLength: 16,
    usage: FORM_16.usage(0x8f, FLAGS),
    standard: 'SBC-3 5.30',
    handler: (task) => verify(task, FORM_16),
  },
  {
    ...common,
    name: 'VERIFY(32)',
    opcode: VARIABLE_LENGTH,
    serviceAction: 0x000a,
    cdbLength: 32,
    usage: FORM_32.usage(0x000a, FLAGS),
    standard: 'SBC-3 5.31',
    supported: hasType2Protection,
    handler: (task) => verify(task, FORM_32),
  },
];
