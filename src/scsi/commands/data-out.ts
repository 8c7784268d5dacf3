/** Blocks that arrive in the Data-Out buffer and are compared with, or combined with, those on the medium. */
import type { Medium, Verdict } from '../medium.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';

/**
 * Checks that the Data-Out buffer is exactly `length` bytes: a command that compares or merges cannot tell the
 * truth about blocks that never came. `lengthByte` is where the CDB says how many. Ends the task if not.
 */
export function checkDataOut(task: Task, length: number, lengthByte: number): boolean {
  task.transferLength = length;
  if (task.dataOut.byteLength === length) return true;
  task.failCdbField(lengthByte);
  return false;
}

/** First index below `length` at which `a` and `b` differ, or -1. */
export function firstDifference(a: Uint8Array, b: Uint8Array, length: number): number {
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return -1;
}

/** MISCOMPARE with the byte offset of the first difference in the Data-Out buffer (SBC-3 5.2). */
export function miscompare(offset: number): Verdict {
  return { code: Sense.MISCOMPARE_DURING_VERIFY, detail: { information: offset } };
}

/**
 * Compares the task's range with the Data-Out buffer, chunk by chunk. `repeated`: the buffer holds one block,
 * which every block of the range must equal (BYTCHK 11b).
 */
export async function compareWithDataOut(
  task: Task,
  medium: Medium,
  blocks: number,
  repeated: boolean,
): Promise<Verdict | undefined> {
  const { blockSize } = medium.device;
  const step = medium.chunkBlocks(blocks);
  const onMedium = medium.scratch(step);
  const expected = new Uint8Array(step * blockSize);
  if (repeated) repeatBlock(task, expected, blockSize);
  for (let done = 0; done < blocks; done += step) {
    const count = Math.min(step, blocks - done);
    const failure = await medium.read(task.lba + done, count, onMedium);
    if (failure !== undefined) return failure;
    if (!repeated) task.copyFromInitiator(expected, 0, count * blockSize, done * blockSize);
    const difference = firstDifference(expected, onMedium.bytes, count * blockSize);
    if (difference >= 0) return miscompare(repeated ? difference % blockSize : done * blockSize + difference);
  }
  return undefined;
}

/** Fills `target` with copies of the one block in the Data-Out buffer. */
export function repeatBlock(task: Task, target: Uint8Array, blockSize: number): void {
  task.copyFromInitiator(target, 0, blockSize, 0);
  for (let filled = blockSize; filled < target.length; filled *= 2) target.copyWithin(filled, 0, filled);
}
