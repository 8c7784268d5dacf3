/** COMPARE AND WRITE (SBC-3 5.2). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import type { BlockTransfer } from '../block-transfer.ts';
import { u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Medium, Verdict } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { checkDataOut, firstUnequal, miscompare } from './data-out.ts';
import { checkDpoFua, checkRange, FUA } from './medium-access.ts';
import { completeProtection, readChecked } from './pieces.ts';
import { blockTransfer } from './protect-field.ts';
import { runExclusively } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER, reserved } from './usage.ts';

/** NUMBER OF LOGICAL BLOCKS. */
const COUNT_BYTE = 13;

function compareAndWrite(task: Task): void {
  const device = blockDeviceOf(task);
  const { cdb } = task;
  const lba = u64(cdb, 2);
  const blocks = cdb[COUNT_BYTE];
  const transfer = blockTransfer(task, device, lba);
  if (transfer === undefined || !checkDpoFua(task, device, cdb[1])) return;
  if (!checkRange(task, device, lba, blocks, 2)) return;
  if (blocks > device.limits.maximumCompareAndWriteLength) return task.failCdbField(COUNT_BYTE);
  // First the blocks to compare with, then as many to write.
  if (!checkDataOut(task, transfer, 2 * blocks, COUNT_BYTE)) return;
  if (blocks === 0) return task.good();
  runExclusively(task, device, 2 * blocks * device.blockSize, (medium) => exchange(task, medium, transfer));
}

async function exchange(task: Task, medium: Medium, transfer: BlockTransfer): Promise<Verdict> {
  const { lba, blocks, cdb } = task;
  const scratch = medium.scratch(blocks);
  const buffers = transfer.buffers(blocks, scratch.bytes);
  const expected = transfer.buffers(blocks);
  transfer.take(0, blocks, expected);
  const unread = await readChecked(task, medium, transfer, { index: 0, count: blocks, scratch, buffers });
  if (unread !== undefined) return unread;
  const unequal = firstUnequal(transfer, expected, buffers, blocks);
  if (unequal >= 0) return miscompare(unequal);
  transfer.take(blocks, blocks, buffers);
  const failure =
    completeProtection(task, medium, transfer, buffers, blocks, 0) ??
    (await medium.write(lba, blocks, scratch, (cdb[1] & FUA) !== 0, buffers.tuples));
  return failure ?? Status.GOOD;
}

export const compareAndWriteCommands: readonly CommandRow[] = [
  {
    name: 'COMPARE AND WRITE',
    opcode: 0x89,
    cdbLength: 16,
    usage: [0x89, 0xf8, ...any(8), ...reserved(3), 0xff, GROUP_NUMBER, CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'active',
    unitAttention: 'report',
    needsReady: true,
    writes: true,
    timeout: 30,
    standard: 'SBC-3 5.2',
    supported: (unit) => (unit as BlockDevice).limits.maximumCompareAndWriteLength > 0,
    handler: compareAndWrite,
  },
];
