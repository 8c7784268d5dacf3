/** Blocks that arrive in the Data-Out buffer and are compared with those on the medium. */
import type { BlockTransfer } from '../block-transfer.ts';
import type { Medium, Verdict } from '../medium.ts';
import { PI_LENGTH, type ProtectedBlocks } from '../protection-information.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { checkSent, eachPiece, readChecked } from './pieces.ts';

/**
 * Checks that the Data-Out buffer holds exactly `blocks` blocks: a command that compares or merges cannot tell
 * the truth about blocks that never came. `lengthByte` is where the CDB says how many. Ends the task if not.
 */
export function checkDataOut(
  task: Task,
  transfer: BlockTransfer,
  blocks: number,
  lengthByte: number,
): boolean {
  task.transferLength = blocks * transfer.dataStride;
  if (transfer.sendsExactly(blocks)) return true;
  task.failCdbField(lengthByte);
  return false;
}

/** First index below `length` at which `a` and `b` differ, or -1. */
function firstDifference(a: Uint8Array, b: Uint8Array, length: number): number {
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return -1;
}

/**
 * Offset in the Data-Out buffer of the first byte in which the first `count` blocks of `expected` and `found`
 * differ, or -1. Protection information counts when it was sent.
 */
export function firstUnequal(
  transfer: BlockTransfer,
  expected: ProtectedBlocks,
  found: ProtectedBlocks,
  count: number,
): number {
  const { blockSize } = expected;
  const { stride, carriesProtection } = transfer;
  const byte = firstDifference(expected.data, found.data, count * blockSize);
  const inData = byte < 0 ? -1 : Math.floor(byte / blockSize) * stride + (byte % blockSize);
  const tag = carriesProtection ? firstDifference(expected.tuples, found.tuples, count * PI_LENGTH) : -1;
  if (tag < 0) return inData;
  const inTags = Math.floor(tag / PI_LENGTH) * stride + blockSize + (tag % PI_LENGTH);
  return inData < 0 ? inTags : Math.min(inData, inTags);
}

/** MISCOMPARE; INFORMATION is the offset in the Data-Out buffer of the first byte that differs (SBC-3 5.2). */
export function miscompare(offset: number): Verdict {
  return { code: Sense.MISCOMPARE_DURING_VERIFY, detail: { information: offset } };
}

/** Compares the task's range with the Data-Out buffer, piece by piece (BYTCHK 01b). */
export function compareAll(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
): Promise<Verdict | undefined> {
  const expected = transfer.buffers(medium.chunkBlocks(task.blocks));
  return eachPiece(medium, transfer, task.blocks, async (piece) => {
    const { index, count } = piece;
    transfer.take(index, count, expected);
    const failure =
      checkSent(transfer, expected, count, index) ?? (await readChecked(task, medium, transfer, piece));
    if (failure !== undefined) return failure;
    const unequal = firstUnequal(transfer, expected, piece.buffers, count);
    return unequal < 0 ? undefined : miscompare(index * transfer.stride + unequal);
  });
}

/** Compares every block of the task's range with the one in the Data-Out buffer (BYTCHK 11b). */
export async function compareEach(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
): Promise<Verdict | undefined> {
  const one = transfer.buffers(1);
  transfer.take(0, 1, one);
  const wrong = checkSent(transfer, one, 1, 0);
  if (wrong !== undefined) return wrong;
  const expected = transfer.repeated(one, medium.chunkBlocks(task.blocks));
  return eachPiece(medium, transfer, task.blocks, async (piece) => {
    const { index, count } = piece;
    transfer.repeatTags(one, expected, count, index);
    const failure = await readChecked(task, medium, transfer, piece);
    if (failure !== undefined) return failure;
    const unequal = firstUnequal(transfer, expected, piece.buffers, count);
    return unequal < 0 ? undefined : miscompare(unequal % transfer.stride);
  });
}
