/**
 * The answers about third-party copies, once service actions of RECEIVE COPY RESULTS: RECEIVE COPY STATUS(LID1),
 * RECEIVE COPY OPERATING PARAMETERS and RECEIVE COPY FAILURE DETAILS(LID1) (SPC-4 6.22 to 6.25). RECEIVE COPY
 * DATA has nothing to give: no segment that is offered holds data.
 */
import { blockDeviceOf } from '../block-device-of.ts';
import { putU16, putU32, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { CopyRecord } from '../copy/copy-manager.ts';
import { CopyLimit, CopyStatus, DESCRIPTOR_CODES } from '../copy/copy-spec.ts';
import type { Task } from '../task.ts';
import { offersCopies } from './extended-copy.ts';
import { any, CONTROL, reserved } from './usage.ts';

const LIST_IDENTIFIER = 2;
const ALLOCATION_LENGTH = 10;

const STATUS_LENGTH = 12;
/** COPY COMMAND STATUS (SPC-4 6.25), which knows fewer outcomes. */
const COMPLETED_WITH_ERRORS = 0x02;
const COMMAND_STATUS: ReadonlyMap<CopyStatus, number> = new Map<CopyStatus, number>([
  [CopyStatus.IN_PROGRESS, 0x00],
  [CopyStatus.COMPLETED, 0x01],
  [CopyStatus.COMPLETED_PARTIALLY, 0x01],
]);
/** TRANSFER COUNT UNITS (SPC-4 6.24). */
const Unit = { BYTES: 0, KIB: 1 } as const;
const FAILURE_HEADER = 60;
const FAILED_STATUS = 56;
const SENSE_LENGTH = 58;
/** AVAILABLE DATA does not count itself. */
const LENGTH_FIELD = 4;

const PARAMETERS_LENGTH = 44;

function respond(task: Task, data: Uint8Array): void {
  putU32(data, 0, data.length - LENGTH_FIELD);
  task.respond(data, u32(task.cdb, ALLOCATION_LENGTH));
}

function copyStatus(task: Task, record: CopyRecord): void {
  if (record.isTold) return task.failCdbField(LIST_IDENTIFIER);
  record.isTold = record.status !== CopyStatus.IN_PROGRESS;
  const data = new Uint8Array(STATUS_LENGTH);
  const inBytes = record.transferred <= 0xffff_ffff;
  data[4] = COMMAND_STATUS.get(record.status) ?? COMPLETED_WITH_ERRORS;
  putU16(data, 5, record.segmentsProcessed);
  data[7] = inBytes ? Unit.BYTES : Unit.KIB;
  putU32(data, 8, inBytes ? record.transferred : Math.floor(record.transferred / 1024));
  respond(task, data);
}

function failureDetails(task: Task, { failure }: CopyRecord): void {
  if (failure === undefined) return task.failCdbField(LIST_IDENTIFIER);
  const data = new Uint8Array(FAILURE_HEADER + failure.sense.length);
  data[FAILED_STATUS] = failure.status;
  putU16(data, SENSE_LENGTH, failure.sense.length);
  data.set(failure.sense, FAILURE_HEADER);
  respond(task, data);
}

function operatingParameters(task: Task): void {
  const { blockSize } = blockDeviceOf(task);
  const data = new Uint8Array(PARAMETERS_LENGTH + DESCRIPTOR_CODES.length);
  // SNLID: LIST ID USAGE 11b is offered.
  data[4] = 0x01;
  putU16(data, 8, CopyLimit.CSCDS);
  putU16(data, 10, CopyLimit.SEGMENTS);
  putU32(data, 12, CopyLimit.DESCRIPTOR_LIST);
  putU32(data, 16, CopyLimit.SEGMENT);
  putU16(data, 34, CopyLimit.CONCURRENT);
  data[36] = CopyLimit.CONCURRENT;
  // DATA SEGMENT GRANULARITY, as a power of two.
  data[37] = Math.log2(blockSize);
  data[43] = DESCRIPTOR_CODES.length;
  data.set(DESCRIPTOR_CODES, PARAMETERS_LENGTH);
  respond(task, data);
}

/** For the service actions that ask about one copy. */
const about = (answer: (task: Task, record: CopyRecord) => void) => (task: Task) => {
  const record = blockDeviceOf(task).copies.record(task.itl!, task.cdb[LIST_IDENTIFIER]);
  if (record === undefined) task.failCdbField(LIST_IDENTIFIER);
  else answer(task, record);
};

const row = (
  name: string,
  serviceAction: number,
  standard: string,
  handler: (task: Task) => void,
): CommandRow => ({
  name,
  opcode: 0x84,
  serviceAction,
  cdbLength: 16,
  // LIST IDENTIFIER is reserved in OPERATING PARAMETERS, but initiators leave theirs there.
  usage: [0x84, serviceAction, 0xff, ...reserved(7), ...any(4), 0, CONTROL],
  direction: 'in',
  reservation: 'persistent',
  alua: 'active',
  unitAttention: 'report',
  needsReady: false,
  writes: false,
  timeout: 10,
  standard,
  supported: offersCopies,
  handler,
});

export const receiveCopyResultsCommands: readonly CommandRow[] = [
  row('RECEIVE COPY STATUS(LID1)', 0x00, 'SPC-4 6.25', about(copyStatus)),
  row('RECEIVE COPY OPERATING PARAMETERS', 0x03, 'SPC-4 6.22', operatingParameters),
  row('RECEIVE COPY FAILURE DETAILS(LID1)', 0x04, 'SPC-4 6.23', about(failureDetails)),
];
