/**
 * READ and WRITE on a medium with protection information: through scratch memory, because what the initiator
 * sees and what the backstore keeps are laid out differently, and because every block is checked on the way.
 */
import type { BlockDevice } from '../block-device.ts';
import type { BlockTransfer } from '../block-transfer.ts';
import { chunkBytes, type Medium, type Verdict } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { completeProtection, eachPiece, type Piece, readChecked } from './pieces.ts';
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
  runExclusively(task, device, chunkBytes(device, blocks), async (medium) => {
    const failure = forceUnitAccess ? await medium.flush() : undefined;
    const read = (piece: Piece) => give(task, medium, transfer, piece);
    return failure ?? (await eachPiece(medium, transfer, blocks, read)) ?? Status.GOOD;
  });
}

async function give(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
  piece: Piece,
): Promise<Verdict | undefined> {
  const failure = await readChecked(task, medium, transfer, piece);
  if (failure === undefined) transfer.give(piece.index, piece.count, piece.buffers);
  return failure;
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
  runExclusively(task, device, chunkBytes(device, blocks), async (medium) => {
    const write = ({ index, count, scratch, buffers }: Piece) => {
      transfer.take(index, count, buffers);
      const wrong = completeProtection(task, medium, transfer, buffers, count, index);
      if (wrong !== undefined) return Promise.resolve(wrong);
      return medium.write(task.lba + index, count, scratch, forceUnitAccess, buffers.tuples);
    };
    return (await eachPiece(medium, transfer, blocks, write)) ?? Status.GOOD;
  });
}
