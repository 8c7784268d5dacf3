/** SANITIZE (SBC-3 5.22): makes what the medium held irrecoverable, as far as the backstore goes. */
import { blockDeviceOf } from '../block-device-of.ts';
import { u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { asyncHandler } from '../device-server.ts';
import type { ErasureJob } from '../medium-erasure.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL, reserved } from './usage.ts';

/** Byte 1, beside the service action. */
const IMMED = 0x80;
const AUSE = 0x20;
const LENGTH_BYTE = 7;

const ServiceAction = { OVERWRITE: 0x01, BLOCK_ERASE: 0x02, EXIT_FAILURE_MODE: 0x1f } as const;

/*
 * OVERWRITE parameter list (SBC-3 table 78): 0 INVERT, TEST, OVERWRITE COUNT (1), 1 reserved (1),
 * 2 INITIALIZATION PATTERN LENGTH (2), 4 INITIALIZATION PATTERN.
 */
const HEADER_LENGTH = 4;
const INVERT = 0x80;
const TEST = 0x60;
const OVERWRITE_COUNT = 0x1f;

function overwrite(task: Task): void {
  const { blockSize } = blockDeviceOf(task);
  const length = u16(task.cdb, LENGTH_BYTE);
  if (length <= HEADER_LENGTH || length > HEADER_LENGTH + blockSize) return task.failCdbField(LENGTH_BYTE);
  if (refused(task)) return;
  const list = task.parameterList(length);
  if (list === undefined) return;
  const count = list[0] & OVERWRITE_COUNT;
  if ((list[0] & TEST) !== 0) return task.failParameterField(0, 6);
  if (count === 0) return task.failParameterField(0, 4);
  if (list[1] !== 0) return task.failParameterField(1);
  const patternLength = u16(list, 2);
  if (patternLength === 0 || patternLength > blockSize) return task.failParameterField(2);
  if (HEADER_LENGTH + patternLength > length) return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  const block = Uint8Array.from({ length: blockSize }, (_, i) => list[HEADER_LENGTH + (i % patternLength)]);
  const inverted = (list[0] & INVERT) === 0 ? block : block.map((byte) => ~byte);
  start(
    task,
    Array.from({ length: count }, (_, pass) => (pass % 2 === 0 ? block : inverted)),
  );
}

function blockErase(task: Task): void {
  if (withoutParameters(task) && !refused(task)) start(task, [undefined]);
}

async function exitFailureMode(task: Task): Promise<void> {
  if (!withoutParameters(task)) return;
  const { erasure, notReady } = blockDeviceOf(task);
  if (erasure.failed === undefined && notReady !== undefined) refused(task);
  else if (await erasure.exitFailureMode()) task.good();
  else task.failCdbField(1, 4);
}

function start(task: Task, passes: ErasureJob['passes']): void {
  const flags = task.cdb[1];
  const job: ErasureJob = { command: 'SANITIZE', passes, unrestrictedExit: (flags & AUSE) !== 0 };
  blockDeviceOf(task).erasure.start(task, job, (flags & IMMED) !== 0);
}

/** Only OVERWRITE has parameters. Ends the task and returns false otherwise. */
function withoutParameters(task: Task): boolean {
  if (u16(task.cdb, LENGTH_BYTE) === 0) return true;
  task.failCdbField(LENGTH_BYTE);
  return false;
}

/** Whether the unit is not ready for another reason than an erasure that failed; then the task has ended. */
function refused(task: Task): boolean {
  const { notReady, erasure } = blockDeviceOf(task);
  if (notReady === undefined || erasure.failed !== undefined) return false;
  const { sense, progress } = notReady;
  task.fail(sense, progress === undefined ? {} : { progress });
  return true;
}

const common = {
  opcode: 0x48,
  cdbLength: 10,
  direction: 'out',
  reservation: 'write',
  alua: 'active',
  unitAttention: 'report',
  needsReady: false,
  writes: true,
  // Hours of a large medium do not fit: initiators that know better use IMMED.
  timeout: 0xffff,
  standard: 'SBC-3 5.22',
} as const;

const usage = (serviceAction: number) => [
  0x48,
  IMMED | AUSE | serviceAction,
  ...reserved(5),
  ...any(2),
  CONTROL,
];

export const sanitizeCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'SANITIZE, OVERWRITE',
    serviceAction: ServiceAction.OVERWRITE,
    usage: usage(ServiceAction.OVERWRITE),
    handler: overwrite,
  },
  {
    ...common,
    name: 'SANITIZE, BLOCK ERASE',
    serviceAction: ServiceAction.BLOCK_ERASE,
    usage: usage(ServiceAction.BLOCK_ERASE),
    handler: blockErase,
  },
  {
    ...common,
    name: 'SANITIZE, EXIT FAILURE MODE',
    serviceAction: ServiceAction.EXIT_FAILURE_MODE,
    usage: usage(ServiceAction.EXIT_FAILURE_MODE),
    timeout: 10,
    handler: asyncHandler(exitFailureMode),
  },
];
