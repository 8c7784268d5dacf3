/** Runs the segments of an EXTENDED COPY one after the other (SPC-4 5.16.5). */
import { blockDeviceOf } from '../block-device-of.ts';
import type { Verdict } from '../medium.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { byteRange, copyBlocks } from './block-copy.ts';
import type { CopyRequest } from './copy-list.ts';
import type { CopyRecord } from './copy-manager.ts';
import { OWN_CSCD } from './copy-spec.ts';
import { type Cscd, findCscd, refusalOf } from './cscd.ts';
import type { Segment } from './segment.ts';

/** GOOD, or COPY ABORTED with the number of the segment that failed (SPC-4 6.4.4). */
export async function runSegments(task: Task, request: CopyRequest, record: CopyRecord): Promise<Verdict> {
  for (const [number, segment] of request.segments.entries()) {
    const failure = await runSegment(task, request, segment, record);
    if (failure !== undefined) {
      if (typeof failure === 'number') return failure;
      // Bytes 2 and 3 of COMMAND-SPECIFIC INFORMATION; the first two would point to sense data of the CSCDs.
      return { code: failure, detail: { commandSpecific: number } };
    }
    record.segmentsProcessed++;
  }
  return Status.GOOD;
}

/** Why the segment could not be processed, a status if the whole command is over. */
async function runSegment(
  task: Task,
  request: CopyRequest,
  { source, destination, transfer, mustBeReady }: Segment,
  record: CopyRecord,
): Promise<SenseCode | Status | undefined> {
  const from = cscdAt(task, request, source);
  if (!isCscd(from)) return from;
  if (transfer === undefined) return mustBeReady ? refusalOf(from, 'read') : undefined;
  const to = cscdAt(task, request, destination);
  if (!isCscd(to)) return to;
  const refusal = refusalOf(from, 'read') ?? refusalOf(to, 'write');
  if (refusal !== undefined) return refusal;
  const range = byteRange(transfer, from.device, to.device);
  if ('code' in range) return range;
  const verdict = await copyBlocks(task, from.device, to.device, range, (bytes) => {
    record.transferred += bytes;
  });
  if (verdict === undefined || typeof verdict === 'number') return verdict;
  return Sense.THIRD_PARTY_DEVICE_FAILURE;
}

function cscdAt(task: Task, request: CopyRequest, index: number): Cscd | SenseCode {
  if (index === OWN_CSCD) return { device: blockDeviceOf(task), itl: task.itl! };
  const name = request.cscds[index];
  return name === undefined ? Sense.UNREACHABLE_COPY_TARGET : findCscd(task.nexus!, name);
}

function isCscd(found: Cscd | SenseCode): found is Cscd {
  return 'device' in found;
}
