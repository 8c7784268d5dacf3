/** ORWRITE (16) (SBC-3 5.6). */
import { blockDeviceOf } from '../block-device-of.ts';
import { u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Medium, Verdict } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { checkDataOut } from './data-out.ts';
import { checkDpoFua, checkRange, checkTransferLength, FUA, PROTECT } from './medium-access.ts';
import { runExclusively } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';

const LENGTH_BYTE = 10;

function orwrite(task: Task): void {
  const device = blockDeviceOf(task);
  const { cdb } = task;
  const blocks = u32(cdb, LENGTH_BYTE);
  if ((cdb[1] & PROTECT) !== 0) return task.failCdbField(1, 7);
  if (!checkDpoFua(task, device, cdb[1])) return;
  if (!checkRange(task, device, u64(cdb, 2), blocks, 2)) return;
  if (!checkTransferLength(task, device, blocks, LENGTH_BYTE)) return;
  if (!checkDataOut(task, blocks * device.blockSize, LENGTH_BYTE)) return;
  if (blocks === 0) return task.good();
  runExclusively(task, device, (medium) => merge(task, medium));
}

async function merge(task: Task, medium: Medium): Promise<Verdict> {
  const { lba, blocks, cdb } = task;
  const { blockSize } = medium.device;
  const step = medium.chunkBlocks(blocks);
  const scratch = medium.scratch(step);
  const bits = new Uint8Array(step * blockSize);
  for (let done = 0; done < blocks; done += step) {
    const count = Math.min(step, blocks - done);
    const unread = await medium.read(lba + done, count, scratch);
    if (unread !== undefined) return unread;
    task.transferred += task.copyFromInitiator(bits, 0, count * blockSize, done * blockSize);
    for (let i = 0; i < count * blockSize; i++) scratch.bytes[i] |= bits[i];
    const unwritten = await medium.write(lba + done, count, scratch, (cdb[1] & FUA) !== 0);
    if (unwritten !== undefined) return unwritten;
  }
  return Status.GOOD;
}

export const orwriteCommands: readonly CommandRow[] = [
  {
    name: 'ORWRITE(16)',
    opcode: 0x8b,
    cdbLength: 16,
    usage: [0x8b, 0xf8, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
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
