/**
 * POPULATE TOKEN (SBC-4 5.12) and WRITE USING TOKEN (SBC-4 5.59): copies that initiators call offloaded (ODX).
 * IMMED is not offered, so it is processed as zero (SPC-4 5.17.4.3): status comes when all is done.
 */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { ListFault } from '../copy/copy-list.ts';
import type { CopyRecord } from '../copy/copy-manager.ts';
import { CopyStatus } from '../copy/copy-spec.ts';
import { RangeDescriptor, TokenLimit, WriteList } from '../copy/rod-token-spec.ts';
import { findToken, TokenCopy, type TokenSource } from '../copy/token-copy.ts';
import {
  type PopulateRequest,
  parsePopulateList,
  parseWriteList,
  type WriteRequest,
} from '../copy/token-list.ts';
import type { Verdict } from '../medium.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { closeRecord, offersCopies } from './extended-copy.ts';
import { NO_MEMORY, runSteps } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER, reserved } from './usage.ts';

const LIST_IDENTIFIER = 6;
const LIST_LENGTH = 10;
/** One range more than there may be, so that one too many is told as such. */
const MAXIMUM_LIST_LENGTH = WriteList.HEADER_LENGTH + (TokenLimit.RANGES + 1) * RangeDescriptor.LENGTH;

/** The list, decoded, and the record under its identifier; undefined when the task has ended. */
function begin<Request extends object>(
  task: Task,
  device: BlockDevice,
  parse: (list: Uint8Array, device: BlockDevice) => Request | ListFault,
): { request: Request; record: CopyRecord } | undefined {
  const length = u32(task.cdb, LIST_LENGTH);
  if (length === 0) {
    task.good();
    return undefined;
  }
  const list = task.parameterList(Math.min(length, MAXIMUM_LIST_LENGTH));
  if (list === undefined) return undefined;
  const request = parse(list, device);
  if ('code' in request) {
    task.fail(request.code, request.field === undefined ? {} : { field: request.field });
    return undefined;
  }
  const record = device.copies.open(task.itl!, u32(task.cdb, LIST_IDENTIFIER), task.row!.serviceAction!);
  if (record === undefined) {
    task.fail(Sense.OPERATION_IN_PROGRESS);
    return undefined;
  }
  return { request, record };
}

function populateToken(task: Task): void {
  const device = blockDeviceOf(task);
  const begun = begin(task, device, parsePopulateList);
  if (begun === undefined) return;
  const { request, record } = begun;
  runSteps(task, device, NO_MEMORY, async () => {
    await writesUnderWay(device, request);
    const token = device.tokens.make(request);
    record.transferred = token.byteLength;
    record.token = token.bytes;
    closeRecord(record, Status.GOOD, device);
    return Status.GOOD;
  });
}

/** Waits for writes that arrived before the token is made: what they change must not pass for what it stands for. */
async function writesUnderWay({ rangeLocks }: BlockDevice, { ranges }: PopulateRequest): Promise<void> {
  for (const { lba, blocks } of ranges) rangeLocks.release(await rangeLocks.acquire(lba, blocks));
}

function writeUsingToken(task: Task): void {
  const device = blockDeviceOf(task);
  const begun = begin(task, device, parseWriteList);
  if (begun === undefined) return;
  const { request, record } = begun;
  const source = findToken(task.nexus!, request.token);
  if (isSense(source)) return refuse(task, device, record, { code: source });
  if (source !== 'zeroes' && request.offset * device.blockSize >= source.byteLength) {
    const field = { inCdb: false, byte: WriteList.OFFSET };
    return refuse(task, device, record, { code: Sense.INVALID_FIELD_IN_PARAMETER_LIST, detail: { field } });
  }
  runSteps(task, device, NO_MEMORY, () => write(task, device, source, request, record));
}

function isSense(found: TokenSource | SenseCode): found is SenseCode {
  return found !== 'zeroes' && 'code' in found;
}

function refuse(task: Task, device: BlockDevice, record: CopyRecord, why: Exclude<Verdict, Status>): void {
  closeRecord(record, why, device);
  task.fail(why.code, why.detail);
}

async function write(
  task: Task,
  device: BlockDevice,
  source: TokenSource,
  request: WriteRequest,
  record: CopyRecord,
): Promise<Verdict> {
  let verdict: Verdict = { code: Sense.INTERNAL_TARGET_FAILURE };
  await device.copies.enter();
  try {
    verdict = task.aborted ? Status.TASK_ABORTED : await copy(task, device, source, request, record);
    if (verdict === Status.GOOD && request.deleteToken && source !== 'zeroes') {
      source.device.tokens.end(source, Sense.TOKEN_DELETED);
    }
  } finally {
    device.copies.leave();
    const wanted = request.ranges.reduce((sum, { blocks }) => sum + blocks, 0) * device.blockSize;
    const isPartial = record.transferred < wanted;
    closeRecord(record, verdict, device, isPartial ? CopyStatus.COMPLETED_PARTIALLY : CopyStatus.COMPLETED);
  }
  return verdict;
}

async function copy(
  task: Task,
  device: BlockDevice,
  source: TokenSource,
  request: WriteRequest,
  record: CopyRecord,
): Promise<Verdict> {
  const failure = await new TokenCopy(task, device, request).run(source, task, (bytes) => {
    record.transferred += bytes;
  });
  return failure ?? Status.GOOD;
}

const common = {
  opcode: 0x83,
  cdbLength: 16,
  direction: 'out',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  supported: offersCopies,
} as const;

export const rodTokenCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'POPULATE TOKEN',
    serviceAction: 0x10,
    usage: [0x83, 0x10, ...reserved(4), ...any(8), GROUP_NUMBER, CONTROL],
    reservation: 'read',
    writes: false,
    timeout: 30,
    standard: 'SBC-4 5.12',
    handler: populateToken,
  },
  {
    ...common,
    name: 'WRITE USING TOKEN',
    serviceAction: 0x11,
    usage: [0x83, 0x11, ...reserved(4), ...any(8), GROUP_NUMBER, CONTROL],
    reservation: 'write',
    writes: true,
    timeout: 300,
    standard: 'SBC-4 5.59',
    handler: writeUsingToken,
  },
];
