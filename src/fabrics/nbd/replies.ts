/** Reply headers of the transmission phase, in the form that the connection agreed on. */
import type { Extent } from '../loopback/block-initiator.ts';
import {
  AllocationState,
  BASE_ALLOCATION_ID,
  CHUNK_DONE,
  Chunk,
  EXTENDED_REPLY_LENGTH,
  EXTENDED_REPLY_MAGIC,
  SIMPLE_REPLY_LENGTH,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_LENGTH,
  STRUCTURED_REPLY_MAGIC,
} from './nbd-spec.ts';

export const ReplyForm = { SIMPLE: 0, STRUCTURED: 1, EXTENDED: 2 } as const;
export type ReplyForm = (typeof ReplyForm)[keyof typeof ReplyForm];

/** The part of a request that its reply repeats. */
export interface Answered {
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly offsetHigh: number;
  readonly offsetLow: number;
}

const OFFSET_LENGTH = 8;
const ERROR_LENGTH = 6;

/** Success without data. */
export function doneReply(form: ReplyForm, request: Answered): Buffer {
  return form === ReplyForm.SIMPLE ? simple(request, 0) : chunk(form, request, Chunk.NONE, 0, 0);
}

/** `error` without data; `at` is where in the export it arose, in bytes, if that is known. */
export function errorReply(form: ReplyForm, request: Answered, error: number, at?: number): Buffer {
  if (form === ReplyForm.SIMPLE) return simple(request, error);
  // Error (4), length of a message (2), no message, and the offset (8).
  const length = at === undefined ? ERROR_LENGTH : ERROR_LENGTH + OFFSET_LENGTH;
  const bytes = chunk(form, request, at === undefined ? Chunk.ERROR : Chunk.ERROR_OFFSET, length, length);
  bytes.writeUInt32BE(error, bytes.length - length);
  if (at !== undefined) bytes.writeBigUInt64BE(BigInt(at), bytes.length - OFFSET_LENGTH);
  return bytes;
}

/** What stands before `length` bytes of data that were read. */
export function dataHeader(form: ReplyForm, request: Answered, length: number): Buffer {
  if (form === ReplyForm.SIMPLE) return simple(request, 0);
  const bytes = chunk(form, request, Chunk.OFFSET_DATA, OFFSET_LENGTH, OFFSET_LENGTH + length);
  bytes.writeUInt32BE(request.offsetHigh, bytes.length - OFFSET_LENGTH);
  bytes.writeUInt32BE(request.offsetLow, bytes.length - OFFSET_LENGTH + 4);
  return bytes;
}

/** The extents of base:allocation; neighbours of the same state become one. */
export function blockStatusReply(form: ReplyForm, request: Answered, extents: readonly Extent[]): Buffer {
  const merged = mergeStates(extents);
  const wide = form === ReplyForm.EXTENDED;
  const length = wide ? 8 + 16 * merged.length : 4 + 8 * merged.length;
  const bytes = chunk(form, request, wide ? Chunk.BLOCK_STATUS_EXT : Chunk.BLOCK_STATUS, length, length);
  let at = bytes.length - length;
  at = bytes.writeUInt32BE(BASE_ALLOCATION_ID, at);
  if (wide) at = bytes.writeUInt32BE(merged.length, at);
  for (const extent of merged) {
    if (wide) {
      at = bytes.writeBigUInt64BE(BigInt(extent.length), at);
      at = bytes.writeBigUInt64BE(BigInt(extent.state), at);
    } else {
      at = bytes.writeUInt32BE(extent.length, at);
      at = bytes.writeUInt32BE(extent.state, at);
    }
  }
  return bytes;
}

function mergeStates(extents: readonly Extent[]): { length: number; state: number }[] {
  const merged: { length: number; state: number }[] = [];
  for (const { length, hole, zero } of extents) {
    const state = (hole ? AllocationState.HOLE : 0) | (zero ? AllocationState.ZERO : 0);
    const last = merged[merged.length - 1];
    if (last !== undefined && last.state === state) last.length += length;
    else merged.push({ length, state });
  }
  return merged;
}

function simple({ cookieHigh, cookieLow }: Answered, error: number): Buffer {
  const bytes = Buffer.allocUnsafe(SIMPLE_REPLY_LENGTH);
  bytes.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(error, 4);
  bytes.writeUInt32BE(cookieHigh, 8);
  bytes.writeUInt32BE(cookieLow, 12);
  return bytes;
}

/** The last chunk of a reply: its header, and room for the first `room` bytes of its `length`. */
function chunk(form: ReplyForm, request: Answered, type: number, room: number, length: number): Buffer {
  const extended = form === ReplyForm.EXTENDED;
  const headerLength = extended ? EXTENDED_REPLY_LENGTH : STRUCTURED_REPLY_LENGTH;
  const bytes = Buffer.alloc(headerLength + room);
  bytes.writeUInt32BE(extended ? EXTENDED_REPLY_MAGIC : STRUCTURED_REPLY_MAGIC, 0);
  bytes.writeUInt16BE(CHUNK_DONE, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeUInt32BE(request.cookieHigh, 8);
  bytes.writeUInt32BE(request.cookieLow, 12);
  if (extended) {
    bytes.writeUInt32BE(request.offsetHigh, 16);
    bytes.writeUInt32BE(request.offsetLow, 20);
    bytes.writeUInt32BE(length, 28);
  } else bytes.writeUInt32BE(length, 16);
  return bytes;
}
