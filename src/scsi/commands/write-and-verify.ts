/** WRITE AND VERIFY (10), (12), (16), (32) (SBC-3 5.36 to 5.39). */
import { blockDeviceOf } from '../block-device-of.ts';
import type { BlockTransfer } from '../block-transfer.ts';
import type { CommandRow } from '../command.ts';
import { chunkBytes, type Medium, type Verdict } from '../medium.ts';
import type { ProtectedBlocks } from '../protection-information.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { type CdbForm, FORM_10, FORM_12, FORM_16, FORM_32, VARIABLE_LENGTH } from './cdb-form.ts';
import { firstUnequal, miscompare } from './data-out.ts';
import { checkDpoFua, checkRange, checkTransferLength, DPO } from './medium-access.ts';
import { completeProtection, eachPiece, type Piece, readChecked } from './pieces.ts';
import { blockTransfer, hasType2Protection } from './protect-field.ts';
import { runExclusively } from './steps.ts';
import { ByteCheck, byteCheck } from './verify.ts';

/** WRPROTECT, DPO, BYTCHK. */
const FLAGS = 0xf6;

function writeAndVerify(task: Task, form: CdbForm): void {
  const device = blockDeviceOf(task);
  const { cdb } = task;
  const flags = cdb[form.flagsByte];
  const lba = form.lba(cdb);
  const blocks = form.blocks(cdb);
  const check = byteCheck(flags);
  const transfer = blockTransfer(task, device, lba, form.flagsByte);
  if (transfer === undefined) return;
  if (check !== ByteCheck.NONE && check !== ByteCheck.ALL) return task.failCdbField(form.flagsByte, 2);
  if (!checkDpoFua(task, device, flags & DPO, form.flagsByte)) return;
  if (!checkRange(task, device, lba, blocks, form.lbaByte)) return;
  if (!checkTransferLength(task, device, blocks, form.lengthByte)) return;
  task.transferLength = blocks * transfer.dataStride;
  // Like WRITE: a buffer too small for the range moves the whole blocks that it holds.
  const whole = Math.min(blocks, transfer.blocksOut);
  if (whole === 0) return task.good();
  // The range stays locked, so that a WRITE in between is not taken for a bad medium.
  runExclusively(task, device, 2 * chunkBytes(device, whole), async (medium) => {
    const sent = transfer.buffers(medium.chunkBlocks(whole));
    const compared = check === ByteCheck.ALL;
    const step = (piece: Piece) => writeAndReadBack(task, medium, transfer, piece, sent, compared);
    return (await eachPiece(medium, transfer, whole, step)) ?? Status.GOOD;
  });
}

async function writeAndReadBack(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
  piece: Piece,
  sent: ProtectedBlocks,
  compared: boolean,
): Promise<Verdict | undefined> {
  const { index, count, scratch, buffers } = piece;
  // The initiator may change its buffer meanwhile: the copy is what is written, so it is what to expect.
  transfer.take(index, count, sent);
  scratch.bytes.set(sent.data.subarray(0, count * sent.blockSize));
  const failure =
    completeProtection(task, medium, transfer, sent, count, index) ??
    (await medium.write(task.lba + index, count, scratch, true, sent.tuples)) ??
    (await readChecked(task, medium, transfer, piece));
  if (failure !== undefined) return failure;
  const unequal = compared ? firstUnequal(transfer, sent, buffers, count) : -1;
  return unequal < 0 ? undefined : miscompare(index * transfer.stride + unequal);
}

const common = {
  direction: 'out',
  reservation: 'write',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: true,
  timeout: 60,
} as const;

export const writeAndVerifyCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'WRITE AND VERIFY(10)',
    opcode: 0x2e,
    cdbLength: 10,
    usage: FORM_10.usage(0x2e, FLAGS),
    standard: 'SBC-3 5.36',
    handler: (task) => writeAndVerify(task, FORM_10),
  },
  {
    ...common,
    name: 'WRITE AND VERIFY(12)',
    opcode: 0xae,
    cdbLength: 12,
    usage: FORM_12.usage(0xae, FLAGS),
    standard: 'SBC-3 5.37',
    handler: (task) => writeAndVerify(task, FORM_12),
  },
  {
    ...common,
    name: 'WRITE AND VERIFY(16)',
    opcode: 0x8e,
    cdbLength: 16,
    usage: FORM_16.usage(0x8e, FLAGS),
    standard: 'SBC-3 5.38',
    handler: (task) => writeAndVerify(task, FORM_16),
  },
  {
    ...common,
    name: 'WRITE AND VERIFY(32)',
    opcode: VARIABLE_LENGTH,
    serviceAction: 0x000c,
    cdbLength: 32,
    usage: FORM_32.usage(0x000c, FLAGS),
    standard: 'SBC-3 5.39',
    supported: hasType2Protection,
    handler: (task) => writeAndVerify(task, FORM_32),
  },
];
