/** WRITE ATOMIC (16) (SBC-4 5.50). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Medium, Verdict } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { checkDataOut } from './data-out.ts';
import { checkDpoFua, checkRange } from './medium-access.ts';
import { blockTransfer } from './protect-field.ts';
import { runExclusively } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';

const LBA_BYTE = 2;
const BOUNDARY_BYTE = 10;
const LENGTH_BYTE = 12;

function writeAtomic(task: Task): void {
  const device = blockDeviceOf(task);
  const { cdb } = task;
  const blocks = u16(cdb, LENGTH_BYTE);
  const lba = u64(cdb, LBA_BYTE);
  const transfer = blockTransfer(task, device, lba);
  if (transfer === undefined || !checkDpoFua(task, device, cdb[1])) return;
  // MAXIMUM ATOMIC BOUNDARY SIZE is 0: a write is atomic as a whole or not accepted.
  if (u16(cdb, BOUNDARY_BYTE) !== 0) return task.failCdbField(BOUNDARY_BYTE);
  if (!checkRange(task, device, lba, blocks, LBA_BYTE)) return;
  const { maximumAtomicTransferLength, atomicAlignment, atomicTransferLengthGranularity } = device.limits;
  if (blocks > maximumAtomicTransferLength) return task.failCdbField(LENGTH_BYTE);
  if (atomicAlignment > 0 && lba % atomicAlignment !== 0) return task.failCdbField(LBA_BYTE);
  if (atomicTransferLengthGranularity > 0 && blocks % atomicTransferLengthGranularity !== 0)
    return task.failCdbField(LENGTH_BYTE);
  if (!checkDataOut(task, transfer, blocks, LENGTH_BYTE)) return;
  if (blocks === 0) return task.good();
  // Old blocks and new.
  runExclusively(task, device, 2 * blocks * device.blockSize, (medium) => writeAllOrNothing(task, medium));
}

async function writeAllOrNothing(task: Task, medium: Medium): Promise<Verdict> {
  const { lba, blocks } = task;
  const { device } = medium;
  const length = blocks * device.blockSize;
  const scratch = medium.scratch(blocks);
  const unread = await medium.read(lba, blocks, scratch);
  if (unread !== undefined) return unread;
  const old = scratch.bytes.slice(0, length);
  task.transferred = task.copyFromInitiator(scratch.bytes, 0, length, 0);
  // Stable with or without FUA: only then may the journal be emptied.
  const write = () => medium.write(lba, blocks, scratch, true);
  return (await device.atomicJournal.run(lba, old, write)) ?? Status.GOOD;
}

export const writeAtomicCommands: readonly CommandRow[] = [
  {
    name: 'WRITE ATOMIC(16)',
    opcode: 0x9c,
    cdbLength: 16,
    usage: [0x9c, 0xf8, ...any(8), ...any(2), ...any(2), GROUP_NUMBER, CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'active',
    unitAttention: 'report',
    needsReady: true,
    writes: true,
    timeout: 30,
    standard: 'SBC-4 5.50',
    supported: (unit) => (unit as BlockDevice).limits.maximumAtomicTransferLength > 0,
    handler: writeAtomic,
  },
];
