/**
 * Copies blocks from one medium to another, in pieces through scratch memory of bounded size. Each piece is read
 * and written under a range lock of its own, so that a copy never shows half of an atomic command, and never
 * waits for one range while it holds another.
 */
import type { BlockDevice } from '../block-device.ts';
import type { Scratch } from '../environment.ts';
import { Medium, type Verdict } from '../medium.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { CopyLimit } from './copy-spec.ts';
import { refusalOf } from './cscd.ts';
import type { Transfer } from './segment.ts';

/** Bytes; a multiple of every block size. */
export const PIECE = 512 << 10;
/** Bytes that the backings copy by themselves at a time: until it is done, nothing can stop it. */
export const UNSEEN_PIECE = 4 << 20;

/** What a transfer means on two given devices: bytes, all of them multiples of block sizes. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/** Checks a transfer against both devices. */
export function byteRange(
  transfer: Transfer,
  source: BlockDevice,
  destination: BlockDevice,
): ByteRange | SenseCode {
  const units = { bytes: 1, 'source blocks': source.blockSize, 'destination blocks': destination.blockSize };
  const length = transfer.length * units[transfer.unit];
  const from = transfer.sourceLba * source.blockSize + transfer.sourceOffset;
  const to = transfer.destinationLba * destination.blockSize + transfer.destinationOffset;
  if (length > CopyLimit.SEGMENT) return Sense.COPY_ABORTED;
  if (from + length > source.blockCount * source.blockSize) return Sense.COPY_ABORTED;
  if (to + length > destination.blockCount * destination.blockSize) return Sense.COPY_ABORTED;
  const isExact =
    from % source.blockSize === 0 &&
    to % destination.blockSize === 0 &&
    length % source.blockSize === 0 &&
    length % destination.blockSize === 0;
  return isExact ? { from, to, length } : Sense.UNEXPECTED_INEXACT_SEGMENT;
}

/** `progress` is called with the bytes that have arrived, in the order of the segment. */
export async function copyBlocks(
  task: Task,
  source: BlockDevice,
  destination: BlockDevice,
  range: ByteRange,
  progress: (bytes: number) => void,
): Promise<Verdict | undefined> {
  if (range.length === 0) return undefined;
  const reader = new Medium(source, task);
  const writer = new Medium(destination, task);
  const piece = Math.min(PIECE, range.length);
  const scratch = reader.scratch(piece / source.blockSize);
  try {
    // When the two ranges overlap, front to back would write over what is still to be read.
    const backwards = source === destination && range.to > range.from;
    for (let done = 0; done < range.length; ) {
      if (!backwards) {
        const unseen = Math.min(UNSEEN_PIECE, range.length - done);
        const outcome = await copyUnseen(task, source, writer, range.from + done, range.to + done, unseen);
        if (outcome === 'copied') {
          progress(unseen);
          done += unseen;
          continue;
        }
        if (outcome !== 'not copied') return outcome;
      }
      const length = Math.min(piece, range.length - done);
      const at = backwards ? range.length - done - length : done;
      const failure =
        (await readLocked(task, reader, range.from + at, length, scratch)) ??
        (await writeLocked(task, writer, range.to + at, length, scratch));
      if (failure !== undefined) return failure;
      if (!backwards) progress(length);
      done += length;
    }
    if (backwards) progress(range.length);
    return undefined;
  } finally {
    reader.releaseScratch();
    writer.releaseScratch();
  }
}

/**
 * Has the backings copy by themselves, under the locks of both ranges. Two such copies in opposite directions must not
 * wait for each other: when somebody is in the source's range, the data goes through memory instead. All in bytes.
 */
export async function copyUnseen(
  task: Task,
  source: BlockDevice,
  writer: Medium,
  from: number,
  to: number,
  length: number,
): Promise<Verdict | 'copied' | 'not copied'> {
  const { device } = writer;
  if (device.backstore.copyFrom === undefined) return 'not copied';
  const lba = to / device.blockSize;
  const lock = await device.rangeLocks.acquire(lba, length / device.blockSize);
  const sourceLock = source.rangeLocks.tryAcquire(from / source.blockSize, length / source.blockSize);
  try {
    if (task.aborted) return Status.TASK_ABORTED;
    const refusal = refusedSince(task, source, 'read') ?? refusedSince(task, device, 'write');
    if (refusal !== undefined) return refusal;
    if (sourceLock === undefined || !(await writer.copyFrom(source, from, lba, length))) return 'not copied';
    return task.aborted ? Status.TASK_ABORTED : 'copied';
  } finally {
    if (sourceLock !== undefined) source.rangeLocks.release(sourceLock);
    device.rangeLocks.release(lock);
  }
}

/** Reads whole blocks to the start of `scratch`; `from` and `length` in bytes. */
export function readLocked(
  task: Task,
  medium: Medium,
  from: number,
  length: number,
  scratch: Scratch,
): Promise<Verdict | undefined> {
  const refusal = () => refusedSince(task, medium.device, 'read');
  return locked(medium.device, from, length, refusal, (lba, blocks) => medium.read(lba, blocks, scratch));
}

/** Writes whole blocks from the start of `scratch`; `to` and `length` in bytes. */
export function writeLocked(
  task: Task,
  medium: Medium,
  to: number,
  length: number,
  scratch: Scratch,
): Promise<Verdict | undefined> {
  const refusal = () => refusedSince(task, medium.device, 'write');
  return locked(medium.device, to, length, refusal, (lba, blocks) =>
    medium.write(lba, blocks, scratch, false),
  );
}

async function locked(
  device: BlockDevice,
  offset: number,
  length: number,
  refusal: () => Verdict | undefined,
  access: (lba: number, blocks: number) => Promise<Verdict | undefined>,
): Promise<Verdict | undefined> {
  const { blockSize, rangeLocks } = device;
  const lba = offset / blockSize;
  const blocks = length / blockSize;
  const lock = await rangeLocks.acquire(lba, blocks);
  try {
    return refusal() ?? (await access(lba, blocks));
  } finally {
    rangeLocks.release(lock);
  }
}

/**
 * Why the initiator may not do this any more, to a unit whose task set does not hold `task`: there nobody else
 * stops a copy when its initiator is fenced off by a reservation, or when the unit no longer is ready.
 */
function refusedSince(task: Task, device: BlockDevice, access: 'read' | 'write'): Verdict | undefined {
  if (task.logicalUnit === device) return undefined;
  for (const itl of task.nexus!.itlNexuses()) {
    if (itl.logicalUnit !== device) continue;
    const code = refusalOf({ device, itl }, access);
    return code === undefined ? undefined : { code };
  }
  return { code: Sense.COPY_TARGET_DEVICE_NOT_REACHABLE };
}
