/**
 * READ and WRITE on a medium with protection information: through scratch memory, because what the initiator
 * sees and what the backstore keeps are laid out differently, and because every block is checked on the way.
 */
import type { BlockDevice } from '../block-device.ts';
import type { BlockTransfer } from '../block-transfer.ts';
import type { Scratch } from '../environment.ts';
import type { Medium, Verdict } from '../medium.ts';
import { generateProtection, type ProtectedBlocks } from '../protection-information.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { runExclusively } from './steps.ts';

/** Reads the task's range into the initiator's buffer and ends the task. */
export function startProtectedRead(
  task: Task,
  device: BlockDevice,
  transfer: BlockTransfer,
  forceUnitAccess: boolean,
): void {
  task.transferLength = task.blocks * transfer.dataStride;
  // As without protection: a buffer too small for the range gets the whole blocks that it holds.
  const blocks = Math.min(task.blocks, transfer.blocksIn);
  if (blocks === 0) return task.good();
  runExclusively(task, device, async (medium) => {
    const failure = forceUnitAccess ? await medium.flush() : undefined;
    return failure ?? (await readBlocks(task, medium, transfer, blocks)) ?? Status.GOOD;
  });
}

async function readBlocks(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
  blocks: number,
): Promise<Verdict | undefined> {
  const step = medium.chunkBlocks(blocks);
  const scratch = medium.scratch(step);
  const buffers = transfer.buffers(step, scratch.bytes);
  for (let done = 0; done < blocks; done += step) {
    const count = Math.min(step, blocks - done);
    const failure = await readChecked(task, medium, transfer, scratch, buffers, count, done);
    if (failure !== undefined) return failure;
    transfer.give(done, count, buffers);
  }
  return undefined;
}

/**
 * Reads `count` blocks from block `index` of the task's range into `scratch`, which is the data of `buffers`, and
 * checks their protection information as the command asks.
 */
export async function readChecked(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
  scratch: Scratch,
  buffers: ProtectedBlocks,
  count: number,
  index: number,
): Promise<Verdict | undefined> {
  const lba = task.lba + index;
  if (medium.device.protection.type === 0) return medium.read(lba, count, scratch);
  const failure = await medium.readProtected(lba, count, scratch, buffers.tuples);
  return failure ?? transfer.check(buffers, count, index, true);
}

/** Writes the initiator's buffer to the task's range and ends the task. */
export function startProtectedWrite(
  task: Task,
  device: BlockDevice,
  transfer: BlockTransfer,
  forceUnitAccess: boolean,
): void {
  task.transferLength = task.blocks * transfer.dataStride;
  const blocks = Math.min(task.blocks, transfer.blocksOut);
  if (blocks === 0) return task.good();
  runExclusively(task, device, async (medium) => {
    const step = medium.chunkBlocks(blocks);
    const scratch = medium.scratch(step);
    const buffers = transfer.buffers(step, scratch.bytes);
    for (let done = 0; done < blocks; done += step) {
      const count = Math.min(step, blocks - done);
      transfer.take(done, count, buffers);
      const wrong = completeProtection(task, device, transfer, buffers, count, done);
      if (wrong !== undefined) return wrong;
      const { tuples } = buffers;
      const failure = await medium.write(task.lba + done, count, scratch, forceUnitAccess, tuples);
      if (failure !== undefined) return failure;
    }
    return Status.GOOD;
  });
}

/** Checks the protection information that came with blocks, or makes it up when none came. */
export function completeProtection(
  task: Task,
  device: BlockDevice,
  transfer: BlockTransfer,
  buffers: ProtectedBlocks,
  count: number,
  index: number,
): Verdict | undefined {
  if (transfer.carriesProtection) return transfer.check(buffers, count, index, false);
  const { type } = device.protection;
  if (type !== 0) generateProtection(buffers, count, task.lba + index, type);
  return undefined;
}
