/** WRITE AND VERIFY (10), (12), (16) (SBC-3 5.36 to 5.38). */
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Medium, Verdict } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { firstDifference, miscompare } from './data-out.ts';
import { checkDpoFua, checkRange, checkTransferLength, DPO, PROTECT } from './medium-access.ts';
import { runExclusively } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';
import { ByteCheck, byteCheck } from './verify.ts';

/** WRPROTECT, DPO, BYTCHK. */
const FLAGS = 0xf6;

function writeAndVerify(task: Task, lba: number, blocks: number, lengthByte: number): void {
  const device = blockDeviceOf(task);
  const flags = task.cdb[1];
  const check = byteCheck(flags);
  if ((flags & PROTECT) !== 0) return task.failCdbField(1, 7);
  if (check !== ByteCheck.NONE && check !== ByteCheck.ALL) return task.failCdbField(1, 2);
  if (!checkDpoFua(task, device, flags & DPO)) return;
  if (!checkRange(task, device, lba, blocks, 2)) return;
  if (!checkTransferLength(task, device, blocks, lengthByte)) return;
  task.transferLength = blocks * device.blockSize;
  // Like WRITE: a buffer too small for the range moves the whole blocks that it holds.
  const whole = Math.min(blocks, Math.floor(task.dataOut.byteLength / device.blockSize));
  if (whole === 0) return task.good();
  // The range stays locked, so that a WRITE in between is not taken for a bad medium.
  runExclusively(task, device, (medium) => writeAndReadBack(task, medium, whole, check === ByteCheck.ALL));
}

async function writeAndReadBack(
  task: Task,
  medium: Medium,
  blocks: number,
  compare: boolean,
): Promise<Verdict> {
  const { blockSize } = medium.device;
  const step = medium.chunkBlocks(blocks);
  const scratch = medium.scratch(step);
  const sent = new Uint8Array(step * blockSize);
  for (let done = 0; done < blocks; done += step) {
    const count = Math.min(step, blocks - done);
    const length = count * blockSize;
    // The initiator may change its buffer meanwhile: the copy is what was written, so it is what to expect.
    task.transferred += task.copyFromInitiator(sent, 0, length, done * blockSize);
    scratch.bytes.set(sent.subarray(0, length));
    const unwritten = await medium.write(task.lba + done, count, scratch, true);
    if (unwritten !== undefined) return unwritten;
    scratch.bytes.fill(0, 0, length);
    const unread = await medium.read(task.lba + done, count, scratch);
    if (unread !== undefined) return unread;
    const difference = compare ? firstDifference(sent, scratch.bytes, length) : -1;
    if (difference >= 0) return miscompare(done * blockSize + difference);
  }
  return Status.GOOD;
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
    usage: [0x2e, FLAGS, ...any(4), GROUP_NUMBER, ...any(2), CONTROL],
    standard: 'SBC-3 5.36',
    handler: (task) => writeAndVerify(task, u32(task.cdb, 2), u16(task.cdb, 7), 7),
  },
  {
    ...common,
    name: 'WRITE AND VERIFY(12)',
    opcode: 0xae,
    cdbLength: 12,
    usage: [0xae, FLAGS, ...any(4), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.37',
    handler: (task) => writeAndVerify(task, u32(task.cdb, 2), u32(task.cdb, 6), 6),
  },
  {
    ...common,
    name: 'WRITE AND VERIFY(16)',
    opcode: 0x8e,
    cdbLength: 16,
    usage: [0x8e, FLAGS, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.38',
    handler: (task) => writeAndVerify(task, u64(task.cdb, 2), u32(task.cdb, 10), 10),
  },
];
