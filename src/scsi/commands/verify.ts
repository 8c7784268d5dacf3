/** VERIFY (10), (12), (16) (SBC-3 5.28 to 5.30). */
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Medium, Verdict } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { checkDataOut, compareWithDataOut } from './data-out.ts';
import { checkDpoFua, checkRange, checkTransferLength, DPO, PROTECT } from './medium-access.ts';
import { runSteps } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';

/** VRPROTECT, DPO, BYTCHK. */
const FLAGS = 0xf6;
const BYTCHK_SHIFT = 1;

/** BYTCHK (SBC-3 table 110). */
export const ByteCheck = { NONE: 0, ALL: 1, RESERVED: 2, ONE: 3 } as const;

export function byteCheck(flags: number): number {
  return (flags >> BYTCHK_SHIFT) & 0x03;
}

function verify(task: Task, lba: number, blocks: number, lengthByte: number): void {
  const device = blockDeviceOf(task);
  const flags = task.cdb[1];
  const check = byteCheck(flags);
  if ((flags & PROTECT) !== 0) return task.failCdbField(1, 7);
  if (check === ByteCheck.RESERVED) return task.failCdbField(1, 2);
  if (!checkDpoFua(task, device, flags & DPO)) return;
  if (!checkRange(task, device, lba, blocks, 2)) return;
  if (!checkTransferLength(task, device, blocks, lengthByte)) return;
  if (blocks === 0) return task.good();
  if (check === ByteCheck.NONE) return runSteps(task, device, (medium) => readAll(task, medium));
  const sent = check === ByteCheck.ALL ? blocks : 1;
  if (!checkDataOut(task, sent * device.blockSize, lengthByte)) return;
  runSteps(task, device, async (medium) => {
    const failure = await compareWithDataOut(task, medium, blocks, check === ByteCheck.ONE);
    if (failure !== undefined) return failure;
    task.transferred = task.transferLength;
    return Status.GOOD;
  });
}

/** BYTCHK 00b: the blocks can be read; nobody looks at them. */
async function readAll(task: Task, medium: Medium): Promise<Verdict> {
  const step = medium.chunkBlocks(task.blocks);
  const scratch = medium.scratch(step);
  for (let done = 0; done < task.blocks; done += step) {
    const failure = await medium.read(task.lba + done, Math.min(step, task.blocks - done), scratch);
    if (failure !== undefined) return failure;
  }
  return Status.GOOD;
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
    usage: [0x2f, FLAGS, ...any(4), GROUP_NUMBER, ...any(2), CONTROL],
    standard: 'SBC-3 5.28',
    handler: (task) => verify(task, u32(task.cdb, 2), u16(task.cdb, 7), 7),
  },
  {
    ...common,
    name: 'VERIFY(12)',
    opcode: 0xaf,
    cdbLength: 12,
    usage: [0xaf, FLAGS, ...any(4), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.29',
    handler: (task) => verify(task, u32(task.cdb, 2), u32(task.cdb, 6), 6),
  },
  {
    ...common,
    name: 'VERIFY(16)',
    opcode: 0x8f,
    cdbLength: 16,
    usage: [0x8f, FLAGS, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.30',
    handler: (task) => verify(task, u64(task.cdb, 2), u32(task.cdb, 10), 10),
  },
];
