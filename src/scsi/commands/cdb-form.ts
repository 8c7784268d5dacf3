/** Where the fields stand that the block commands of one CDB length share (SBC-3 clause 5), and their masks. */
import { u16, u32, u64 } from '../bytes.ts';
import { any, CONTROL, GROUP_NUMBER, reserved } from './usage.ts';

export interface CdbForm {
  readonly cdbLength: number;
  /** The byte with the protect field, DPO and FUA. */
  readonly flagsByte: number;
  readonly lbaByte: number;
  readonly lengthByte: number;
  lba(cdb: Uint8Array): number;
  /** TRANSFER LENGTH, VERIFICATION LENGTH or NUMBER OF LOGICAL BLOCKS. */
  blocks(cdb: Uint8Array): number;
  /** CDB USAGE DATA; `code` is the operation code, or the service action of a 32-byte CDB. */
  usage(code: number, flags: number): number[];
}

export const VARIABLE_LENGTH = 0x7f;
/** ADDITIONAL CDB LENGTH of a 32-byte CDB. */
const ADDITIONAL_LENGTH_32 = 0x18;

export const FORM_10: CdbForm = {
  cdbLength: 10,
  flagsByte: 1,
  lbaByte: 2,
  lengthByte: 7,
  lba: (cdb) => u32(cdb, 2),
  blocks: (cdb) => u16(cdb, 7),
  usage: (code, flags) => [code, flags, ...any(4), GROUP_NUMBER, ...any(2), CONTROL],
};

export const FORM_12: CdbForm = {
  cdbLength: 12,
  flagsByte: 1,
  lbaByte: 2,
  lengthByte: 6,
  lba: (cdb) => u32(cdb, 2),
  blocks: (cdb) => u32(cdb, 6),
  usage: (code, flags) => [code, flags, ...any(4), ...any(4), GROUP_NUMBER, CONTROL],
};

export const FORM_16: CdbForm = {
  cdbLength: 16,
  flagsByte: 1,
  lbaByte: 2,
  lengthByte: 10,
  lba: (cdb) => u64(cdb, 2),
  blocks: (cdb) => u32(cdb, 10),
  usage: (code, flags) => [code, flags, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
};

/** Bytes 20 to 27 are the expected initial reference tag, the expected application tag and its mask. */
export const FORM_32: CdbForm = {
  cdbLength: 32,
  flagsByte: 10,
  lbaByte: 12,
  lengthByte: 28,
  lba: (cdb) => u64(cdb, 12),
  blocks: (cdb) => u32(cdb, 28),
  usage: (code, flags) => [
    VARIABLE_LENGTH,
    CONTROL,
    ...reserved(4),
    GROUP_NUMBER,
    ADDITIONAL_LENGTH_32,
    code >> 8,
    code & 0xff,
    flags,
    0,
    ...any(8),
    ...any(8),
    ...any(4),
  ],
};
