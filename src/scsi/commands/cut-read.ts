/**
 * READ into a buffer that ends inside a block: every byte that fits is delivered, through scratch memory, and
 * the fabric reports the overflow (SAM-5 5.4.2). Initiators that do this are rare; none of them is in a hurry.
 */
import type { BlockDevice } from '../block-device.ts';
import { chunkBytes } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { runSteps } from './steps.ts';

export function startCutRead(task: Task, device: BlockDevice, forceUnitAccess: boolean): void {
  const { blockSize } = device;
  const bytes = task.dataIn.byteLength;
  task.transferLength = task.blocks * blockSize;
  runSteps(task, device, chunkBytes(device, task.blocks), async (medium) => {
    const flushFailure = forceUnitAccess ? await medium.flush() : undefined;
    if (flushFailure !== undefined) return flushFailure;
    const step = medium.chunkBlocks(Math.ceil(bytes / blockSize));
    const scratch = medium.scratch(step);
    while (task.transferred < bytes) {
      const left = bytes - task.transferred;
      const blocks = Math.min(step, Math.ceil(left / blockSize));
      const failure = await medium.read(task.lba + task.transferred / blockSize, blocks, scratch);
      if (failure !== undefined) return failure;
      const part = Math.min(left, blocks * blockSize);
      task.transferred += task.copyToInitiator(scratch.bytes, 0, part, task.transferred);
    }
    return Status.GOOD;
  });
}
