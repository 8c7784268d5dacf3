/** Runs the segments of an EXTENDED COPY one after the other (SPC-4 5.17.5). */
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

/** Why a segment could not be processed. */
interface SegmentFailure {
  readonly code: SenseCode;
  /** Blocks of the destination that were not written, when others of the segment were. */
  readonly residual?: number;
}

/** GOOD, or COPY ABORTED with the number of the segment that failed and its residual (SPC-4 5.17.7.4). */
export async function runSegments(task: Task, request: CopyRequest, record: CopyRecord): Promise<Verdict> {
  for (const [number, segment] of request.segments.entries()) {
    const failure = await runSegment(task, request, segment, record);
    if (task.aborted) return Status.TASK_ABORTED;
    if (failure !== undefined) {
      const { code, residual } = failure;
      // Bytes 2 and 3 of COMMAND-SPECIFIC INFORMATION; the first two would point to sense data of the CSCDs.
      const detail = { commandSpecific: number };
      return { code, detail: residual === undefined ? detail : { ...detail, information: residual } };
    }
    record.segmentsProcessed++;
  }
  return Status.GOOD;
}

async function runSegment(
  task: Task,
  request: CopyRequest,
  { source, destination, transfer, mustBeReady }: Segment,
  record: CopyRecord,
): Promise<SegmentFailure | undefined> {
  const from = cscdAt(task, request, source);
  if (!isCscd(from)) return { code: from };
  if (transfer === undefined) return failing(mustBeReady ? refusalOf(from, 'read') : undefined);
  const to = cscdAt(task, request, destination);
  if (!isCscd(to)) return { code: to };
  const refusal = refusalOf(from, 'read') ?? refusalOf(to, 'write');
  if (refusal !== undefined) return { code: refusal };
  const range = byteRange(transfer, from.device, to.device);
  if ('code' in range) return { code: range };
  let written = 0;
  const verdict = await copyBlocks(task, from.device, to.device, range, (bytes) => {
    written += bytes;
    record.transferred += bytes;
  });
  if (verdict === undefined) return undefined;
  // A CSCD that is BUSY has failed as well as one with a medium error: the initiator may ask again.
  const code = Sense.THIRD_PARTY_DEVICE_FAILURE;
  return written === 0 ? { code } : { code, residual: (range.length - written) / to.device.blockSize };
}

function failing(code: SenseCode | undefined): SegmentFailure | undefined {
  return code === undefined ? undefined : { code };
}

function cscdAt(task: Task, request: CopyRequest, index: number): Cscd | SenseCode {
  if (index === OWN_CSCD) return { device: blockDeviceOf(task), itl: task.itl! };
  const name = request.cscds[index];
  return name === undefined ? Sense.UNREACHABLE_COPY_TARGET : findCscd(task.nexus!, name);
}

function isCscd(found: Cscd | SenseCode): found is Cscd {
  return 'device' in found;
}
