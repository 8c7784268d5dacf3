/** COMPARE AND WRITE (SBC-3 5.2). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Medium, Verdict } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { checkDataOut, firstDifference, miscompare } from './data-out.ts';
import { checkDpoFua, checkRange, FUA, PROTECT } from './medium-access.ts';
import { runExclusively } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER, reserved } from './usage.ts';

/** NUMBER OF LOGICAL BLOCKS. */
const COUNT_BYTE = 13;

function compareAndWrite(task: Task): void {
  const device = blockDeviceOf(task);
  const { cdb } = task;
  const blocks = cdb[COUNT_BYTE];
  if ((cdb[1] & PROTECT) !== 0) return task.failCdbField(1, 7);
  if (!checkDpoFua(task, device, cdb[1])) return;
  if (!checkRange(task, device, u64(cdb, 2), blocks, 2)) return;
  if (blocks > device.limits.maximumCompareAndWriteLength) return task.failCdbField(COUNT_BYTE);
  // First the blocks to compare with, then as many to write.
  if (!checkDataOut(task, 2 * blocks * device.blockSize, COUNT_BYTE)) return;
  if (blocks === 0) return task.good();
  runExclusively(task, device, (medium) => exchange(task, medium));
}

async function exchange(task: Task, medium: Medium): Promise<Verdict> {
  const { lba, blocks, cdb } = task;
  const length = blocks * medium.device.blockSize;
  const scratch = medium.scratch(blocks);
  const expected = new Uint8Array(length);
  task.transferred = task.copyFromInitiator(expected, 0, length, 0);
  const unread = await medium.read(lba, blocks, scratch);
  if (unread !== undefined) return unread;
  const difference = firstDifference(expected, scratch.bytes, length);
  if (difference >= 0) return miscompare(difference);
  task.transferred += task.copyFromInitiator(scratch.bytes, 0, length, length);
  const unwritten = await medium.write(lba, blocks, scratch, (cdb[1] & FUA) !== 0);
  return unwritten ?? Status.GOOD;
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
