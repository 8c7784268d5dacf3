/** EXTENDED COPY(LID1) (SPC-4 6.5). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { type CopyRequest, parseCopyList } from '../copy/copy-list.ts';
import { CopyRecord } from '../copy/copy-manager.ts';
import { CopyLimit, CopyList, CopyStatus } from '../copy/copy-spec.ts';
import { runSegments } from '../copy/extended-copy.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { Verdict } from '../medium.ts';
import { buildSense } from '../sense.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import { MAX_SENSE_LENGTH, type Task } from '../task.ts';
import { NO_MEMORY, runSteps } from './steps.ts';
import { any, CONTROL, reserved } from './usage.ts';

/** SERVICE ACTION. */
const LID1 = 0x00;

/** LIO's emulate_3pc. */
export function offersCopies(unit: LogicalUnit): boolean {
  return (unit as BlockDevice).attributes.emulate_3pc !== 0;
}

function extendedCopy(task: Task): void {
  const device = blockDeviceOf(task);
  const length = u32(task.cdb, 10);
  if (length === 0) return task.good();
  if (length > CopyList.HEADER_LENGTH + CopyLimit.DESCRIPTOR_LIST)
    return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  const list = task.parameterList(length);
  if (list === undefined) return;
  const request = parseCopyList(list);
  if ('code' in request) {
    return task.fail(request.code, request.field === undefined ? {} : { field: request.field });
  }
  const { listId } = request;
  const record = listId === undefined ? new CopyRecord(LID1) : device.copies.open(task.itl!, listId, LID1);
  if (record === undefined) return task.fail(Sense.OPERATION_IN_PROGRESS);
  runSteps(task, device, NO_MEMORY, () => copy(task, device, request, record));
}

async function copy(
  task: Task,
  device: BlockDevice,
  request: CopyRequest,
  record: CopyRecord,
): Promise<Verdict> {
  let verdict: Verdict = { code: Sense.INTERNAL_TARGET_FAILURE };
  await device.copies.enter();
  try {
    verdict = task.aborted ? Status.TASK_ABORTED : await runSegments(task, request, record);
  } finally {
    device.copies.leave();
    closeRecord(record, verdict, device);
  }
  return verdict;
}

/** What initiators are told about the copy from now on. `status` is of a copy that went well. */
export function closeRecord(
  record: CopyRecord,
  verdict: Verdict,
  device: BlockDevice,
  status: CopyStatus = CopyStatus.COMPLETED,
): void {
  record.status = status;
  if (verdict === Status.GOOD) return;
  if (typeof verdict === 'number') {
    record.status = verdict === Status.TASK_ABORTED ? CopyStatus.TERMINATED : CopyStatus.FAILED;
    record.failure = { status: verdict, sense: new Uint8Array(0) };
    return;
  }
  record.status = CopyStatus.FAILED;
  const sense = new Uint8Array(MAX_SENSE_LENGTH);
  const length = buildSense(sense, verdict.code, verdict.detail ?? {}, device.descriptorSense);
  record.failure = { status: Status.CHECK_CONDITION, sense: sense.subarray(0, length) };
}

export const extendedCopyCommands: readonly CommandRow[] = [
  {
    name: 'EXTENDED COPY(LID1)',
    opcode: 0x83,
    serviceAction: LID1,
    cdbLength: 16,
    usage: [0x83, LID1, ...reserved(8), ...any(4), 0, CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'active',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 300,
    standard: 'SPC-4 6.5',
    supported: offersCopies,
    handler: extendedCopy,
  },
];
