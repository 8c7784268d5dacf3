/**
 * A command that moves its blocks through scratch memory does so piece by piece, whatever it does with each: the walk,
 * and the reads and checks that such commands share.
 */
import type { BlockTransfer } from '../block-transfer.ts';
import type { Scratch } from '../environment.ts';
import type { Medium, Verdict } from '../medium.ts';
import { generateProtection, type ProtectedBlocks } from '../protection-information.ts';
import type { Task } from '../task.ts';

/** Blocks of a command's range on their way between initiator and medium. */
export interface Piece {
  /** Of the command's first block: 0, and so on. */
  readonly index: number;
  /** Blocks. */
  readonly count: number;
  readonly scratch: Scratch;
  /** The scratch memory as blocks, with room for their protection information. */
  readonly buffers: ProtectedBlocks;
}

/**
 * Calls `step` with each piece of the first `blocks` blocks of a command, in order, until one answers that it failed.
 * All pieces share one scratch memory, so a step ends before the next begins.
 */
export async function eachPiece(
  medium: Medium,
  transfer: BlockTransfer,
  blocks: number,
  step: (piece: Piece) => Promise<Verdict | undefined>,
): Promise<Verdict | undefined> {
  const most = medium.chunkBlocks(blocks);
  const scratch = medium.scratch(most);
  const buffers = transfer.buffers(most, scratch.bytes);
  for (let index = 0; index < blocks; index += most) {
    const failure = await step({ index, count: Math.min(most, blocks - index), scratch, buffers });
    if (failure !== undefined) return failure;
  }
  return undefined;
}

/** Reads a piece from the medium and checks its protection information as the command asks. */
export async function readChecked(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
  { index, count, scratch, buffers }: Piece,
): Promise<Verdict | undefined> {
  const lba = task.lba + index;
  if (medium.device.protection.type === 0) return medium.read(lba, count, scratch);
  const failure = await medium.readProtected(lba, count, scratch, buffers.tuples);
  return failure ?? transfer.check(buffers, count, index, true);
}

/** Checks protection information that came from the initiator, if any did; the first block is block `index` of the command. */
export function checkSent(
  transfer: BlockTransfer,
  blocks: ProtectedBlocks,
  count: number,
  index: number,
): Verdict | undefined {
  return transfer.carriesProtection ? transfer.check(blocks, count, index, false) : undefined;
}

/** Checks the protection information that came with blocks, or makes it up when none came. */
export function completeProtection(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
  blocks: ProtectedBlocks,
  count: number,
  index: number,
): Verdict | undefined {
  const { type } = medium.device.protection;
  if (!transfer.carriesProtection && type !== 0) generateProtection(blocks, count, task.lba + index, type);
  return checkSent(transfer, blocks, count, index);
}
