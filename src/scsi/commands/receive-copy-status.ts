/**
 * RECEIVE COPY STATUS(LID4) (SPC-4 6.24), and RECEIVE ROD TOKEN INFORMATION (SPC-4 6.26), which adds the token that
 * POPULATE TOKEN has made.
 */
import { blockDeviceOf } from '../block-device-of.ts';
import { concatenate, putU16, putU32, putU64, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { CopyRecord } from '../copy/copy-manager.ts';
import { CopyStatus } from '../copy/copy-spec.ts';
import { StatusHeader, TOKEN_DESCRIPTOR_HEADER } from '../copy/rod-token-spec.ts';
import type { Task } from '../task.ts';
import { offersCopies } from './extended-copy.ts';
import { any, CONTROL, reserved } from './usage.ts';

const EXTENDED_COPY_LID1 = 0x00;
const LIST_IDENTIFIER = 2;
const ALLOCATION_LENGTH = 10;
/** Milliseconds; a guess, for an initiator that asks while the copy runs. */
const UPDATE_DELAY = 100;

/** The shared header with the sense data, AVAILABLE DATA still zero. */
function statusHeader(record: CopyRecord, blockSize: number): Uint8Array {
  const { failure, status } = record;
  const sense = failure?.sense ?? new Uint8Array(0);
  const senseField = Math.ceil(sense.length / 4) * 4;
  const data = new Uint8Array(StatusHeader.LENGTH + senseField);
  data[StatusHeader.SERVICE_ACTION] = record.serviceAction;
  data[StatusHeader.STATUS] = status;
  putU16(data, StatusHeader.OPERATION_COUNTER, record.segmentsProcessed);
  const delay = status === CopyStatus.IN_PROGRESS ? UPDATE_DELAY : StatusHeader.NO_UPDATE;
  putU32(data, StatusHeader.UPDATE_DELAY, delay);
  data[StatusHeader.COMPLETION_STATUS] = failure?.status ?? 0;
  data[StatusHeader.SENSE_FIELD_LENGTH] = senseField;
  data[StatusHeader.SENSE_LENGTH] = sense.length;
  // The segments of EXTENDED COPY may go to units with other blocks than this one's.
  const inBlocks = record.serviceAction !== EXTENDED_COPY_LID1;
  data[StatusHeader.UNITS] = inBlocks ? StatusHeader.UNIT_BLOCKS : StatusHeader.UNIT_BYTES;
  putU64(data, StatusHeader.TRANSFER_COUNT, inBlocks ? record.transferred / blockSize : record.transferred);
  putU16(data, StatusHeader.SEGMENTS_PROCESSED, record.segmentsProcessed);
  data.set(sense, StatusHeader.LENGTH);
  return data;
}

/** ROD TOKEN DESCRIPTORS LENGTH and the descriptor, if a token was made. */
function tokenDescriptors({ token }: CopyRecord): Uint8Array {
  const length = token === undefined ? 0 : TOKEN_DESCRIPTOR_HEADER + token.length;
  const data = new Uint8Array(4 + length);
  putU32(data, 0, length);
  if (token !== undefined) data.set(token, 4 + TOKEN_DESCRIPTOR_HEADER);
  return data;
}

const handler = (withTokens: boolean) => (task: Task) => {
  const device = blockDeviceOf(task);
  const record = device.copies.record(task.itl!, u32(task.cdb, LIST_IDENTIFIER));
  if (record === undefined) return task.failCdbField(LIST_IDENTIFIER);
  const header = statusHeader(record, device.blockSize);
  const data = withTokens ? concatenate([header, tokenDescriptors(record)]) : header;
  // AVAILABLE DATA does not count itself.
  putU32(data, 0, data.length - 4);
  task.respond(data, u32(task.cdb, ALLOCATION_LENGTH));
};

const row = (name: string, serviceAction: number, standard: string, withTokens: boolean): CommandRow => ({
  name,
  opcode: 0x84,
  serviceAction,
  cdbLength: 16,
  usage: [0x84, serviceAction, ...any(4), ...reserved(4), ...any(4), 0, CONTROL],
  direction: 'in',
  reservation: 'persistent',
  alua: 'active',
  unitAttention: 'report',
  needsReady: false,
  writes: false,
  timeout: 10,
  standard,
  supported: offersCopies,
  handler: handler(withTokens),
});

export const receiveCopyStatusCommands: readonly CommandRow[] = [
  row('RECEIVE COPY STATUS(LID4)', 0x05, 'SPC-4 6.24', false),
  row('RECEIVE ROD TOKEN INFORMATION', 0x07, 'SPC-4 6.26', true),
];
