/** ORWRITE (16) (SBC-3 5.6). */
import { blockDeviceOf } from '../block-device-of.ts';
import type { BlockTransfer } from '../block-transfer.ts';
import type { CommandRow } from '../command.ts';
import { chunkBytes, type Medium, type Verdict } from '../medium.ts';
import type { ProtectedBlocks } from '../protection-information.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { FORM_16 } from './cdb-form.ts';
import { checkDataOut } from './data-out.ts';
import { checkDpoFua, checkRange, checkTransferLength, FUA } from './medium-access.ts';
import { checkSent, eachPiece, type Piece, readChecked } from './pieces.ts';
import { blockTransfer } from './protect-field.ts';
import { runExclusively } from './steps.ts';

function orwrite(task: Task): void {
  const device = blockDeviceOf(task);
  const { cdb } = task;
  const lba = FORM_16.lba(cdb);
  const blocks = FORM_16.blocks(cdb);
  const transfer = blockTransfer(task, device, lba);
  if (transfer === undefined || !checkDpoFua(task, device, cdb[1])) return;
  if (!checkRange(task, device, lba, blocks, FORM_16.lbaByte)) return;
  if (!checkTransferLength(task, device, blocks, FORM_16.lengthByte)) return;
  if (!checkDataOut(task, transfer, blocks, FORM_16.lengthByte)) return;
  if (blocks === 0) return task.good();
  runExclusively(task, device, 2 * chunkBytes(device, blocks), async (medium) => {
    const sent = transfer.buffers(medium.chunkBlocks(blocks));
    const step = (piece: Piece) => merge(task, medium, transfer, piece, sent);
    return (await eachPiece(medium, transfer, blocks, step)) ?? Status.GOOD;
  });
}

async function merge(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
  piece: Piece,
  sent: ProtectedBlocks,
): Promise<Verdict | undefined> {
  const { index, count, scratch, buffers } = piece;
  transfer.take(index, count, sent);
  const wrong = checkSent(transfer, sent, count, index) ?? (await readChecked(task, medium, transfer, piece));
  if (wrong !== undefined) return wrong;
  for (let i = 0; i < count * sent.blockSize; i++) buffers.data[i] |= sent.data[i];
  // The guard of what was merged is nobody's but ours: the protection information is made anew.
  return medium.write(task.lba + index, count, scratch, (task.cdb[1] & FUA) !== 0);
}

export const orwriteCommands: readonly CommandRow[] = [
  {
    name: 'ORWRITE(16)',
    opcode: 0x8b,
    cdbLength: 16,
    usage: FORM_16.usage(0x8b, 0xf8),
    direction: 'out',
    reservation: 'write',
    alua: 'active',
    unitAttention: 'report',
    needsReady: true,
    writes: true,
    timeout: 60,
    standard: 'SBC-3 5.6',
    handler: orwrite,
  },
];
