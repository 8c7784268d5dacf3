/**
 * What a decoder makes of a page: plain values under snake_case names, one shape for `--json` and for people.
 * Most pages are tables of fields, so most decoders are tables too.
 */
import { u16, u24, u32, u64 } from '../../scsi/bytes.ts';

export type Value = number | string | boolean | readonly Value[] | Decoded;
export interface Decoded {
  readonly [name: string]: Value;
}

/** A field as the standards draw it: `width` bits that start at bit `low` of byte `byte`, or whole bytes. */
export interface Field {
  readonly name: string;
  readonly byte: number;
  readonly low: number;
  readonly width: number;
}

/** A field of whole bytes, big-endian; `width` in bits. */
export function number(name: string, byte: number, width: 8 | 16 | 24 | 32 | 64 = 8): Field {
  return { name, byte, low: 0, width };
}

/** A field inside one byte; its lowest bit is `low`. */
export function bits(name: string, byte: number, low: number, width = 1): Field {
  return { name, byte, low, width };
}

/** The fields of `bytes`; those that begin behind its end are left out, as a shorter page of an older standard. */
export function decodeFields(bytes: Uint8Array, fields: readonly Field[]): Decoded {
  const decoded: Record<string, Value> = {};
  for (const field of fields) {
    if (field.byte + Math.ceil((field.low + field.width) / 8) > bytes.length) continue;
    decoded[field.name] = fieldValue(bytes, field);
  }
  return decoded;
}

function fieldValue(bytes: Uint8Array, { byte, low, width }: Field): number {
  switch (width) {
    case 16:
      return u16(bytes, byte);
    case 24:
      return u24(bytes, byte);
    case 32:
      return u32(bytes, byte);
    case 64:
      return u64(bytes, byte);
    default:
      return (bytes[byte] >> low) & ((1 << width) - 1);
  }
}

/** ASCII without the blanks and zeroes that pad it. */
export function text(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.subarray(from, to)).toString('latin1').replace(/\0+$/, '').trim();
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Two digits at least, as the standards print codes: `0x08`, `0x4d07`. */
export function code(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}
