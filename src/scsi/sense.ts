/**
 * Builds sense data in fixed or descriptor format (SPC-4 4.5). Which of the two is the logical unit's choice
 * (D_SENSE of the Control mode page); commands only say what they know.
 */
import { putU16, putU32, putU64 } from './bytes.ts';
import type { SenseCode } from './sense-spec.ts';

/** The field in error (SPC-4 4.5.2.4.2). */
export interface FieldPointer {
  /** Whether the field is in the CDB; else in the parameter list. */
  readonly inCdb: boolean;
  /** Byte offset of the field's first byte. */
  readonly byte: number;
  /** Most significant bit of the field, when it starts inside a byte. */
  readonly bit?: number;
}

export interface SenseDetail {
  /** INFORMATION: an LBA or a byte offset, by command. */
  readonly information?: number;
  /** COMMAND-SPECIFIC INFORMATION. */
  readonly commandSpecific?: number;
  readonly field?: FieldPointer;
  /** Progress indication, 0 to 65535 of 65536. */
  readonly progress?: number;
  /** Unit attention queue overflow etc. stay out; SDAT_OVFL is never needed below 252 bytes. */
  readonly deferred?: boolean;
}

const FIXED_LENGTH = 18;
const SKSV = 0x80;
const CDB_FIELD = 0x40;
const BIT_POINTER_VALID = 0x08;

/** Writes sense data for `code` into `target`; returns its length in bytes. */
export function buildSense(
  target: Uint8Array,
  code: SenseCode,
  detail: SenseDetail,
  descriptor: boolean,
): number {
  target.fill(0, 0, 64);
  return descriptor ? buildDescriptor(target, code, detail) : buildFixed(target, code, detail);
}

function buildFixed(target: Uint8Array, code: SenseCode, detail: SenseDetail): number {
  target[0] = detail.deferred ? 0x71 : 0x70;
  const information = detail.information;
  // VALID stays 0 when the value needs more than 32 bits: fixed format cannot carry it (SPC-4 4.5.3).
  if (information !== undefined && information <= 0xffff_ffff) {
    target[0] |= 0x80;
    putU32(target, 3, information);
  }
  target[2] = code.key;
  target[7] = FIXED_LENGTH - 8;
  if (detail.commandSpecific !== undefined && detail.commandSpecific <= 0xffff_ffff) {
    putU32(target, 8, detail.commandSpecific);
  }
  putU16(target, 12, code.code);
  putSenseKeySpecific(target, 15, detail);
  return FIXED_LENGTH;
}

function buildDescriptor(target: Uint8Array, code: SenseCode, detail: SenseDetail): number {
  target[0] = detail.deferred ? 0x73 : 0x72;
  target[1] = code.key;
  putU16(target, 2, code.code);
  let at = 8;
  if (detail.information !== undefined) {
    target[at] = 0x00;
    target[at + 1] = 0x0a;
    target[at + 2] = 0x80;
    putU64(target, at + 4, detail.information);
    at += 12;
  }
  if (detail.commandSpecific !== undefined) {
    target[at] = 0x01;
    target[at + 1] = 0x0a;
    putU64(target, at + 4, detail.commandSpecific);
    at += 12;
  }
  if (detail.field !== undefined || detail.progress !== undefined) {
    target[at] = 0x02;
    target[at + 1] = 0x06;
    putSenseKeySpecific(target, at + 4, detail);
    at += 8;
  }
  target[7] = at - 8;
  return at;
}

function putSenseKeySpecific(target: Uint8Array, at: number, detail: SenseDetail): void {
  if (detail.field !== undefined) {
    const { inCdb, byte, bit } = detail.field;
    target[at] = SKSV | (inCdb ? CDB_FIELD : 0) | (bit === undefined ? 0 : BIT_POINTER_VALID | bit);
    putU16(target, at + 1, byte);
  } else if (detail.progress !== undefined) {
    target[at] = SKSV;
    putU16(target, at + 1, detail.progress);
  }
}
