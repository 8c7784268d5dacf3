/** CDBs of the block commands, in the layouts that most of them share (SPC-4 4.2). */
import type { CommandResult } from '../../src/fabrics/loopback/initiator.ts';
import { putU16, putU32, putU64, u32, u64 } from '../../src/scsi/bytes.ts';
import { Status } from '../../src/scsi/status-spec.ts';

/** 10-byte CDB: LBA in bytes 2 to 5, length in 7 and 8. */
export function cdb10(opcode: number, lba: number, blocks: number, flags = 0): Uint8Array {
  const cdb = new Uint8Array(10);
  cdb[0] = opcode;
  cdb[1] = flags;
  putU32(cdb, 2, lba);
  putU16(cdb, 7, blocks);
  return cdb;
}

/** 12-byte CDB: LBA in bytes 2 to 5, length in 6 to 9. */
export function cdb12(opcode: number, lba: number, blocks: number, flags = 0): Uint8Array {
  const cdb = new Uint8Array(12);
  cdb[0] = opcode;
  cdb[1] = flags;
  putU32(cdb, 2, lba);
  putU32(cdb, 6, blocks);
  return cdb;
}

/** 16-byte CDB: LBA in bytes 2 to 9, length in 10 to 13. */
export function cdb16(opcode: number, lba: number, blocks: number, flags = 0): Uint8Array {
  const cdb = new Uint8Array(16);
  cdb[0] = opcode;
  cdb[1] = flags;
  putU64(cdb, 2, lba);
  putU32(cdb, 10, blocks);
  return cdb;
}

/** `GOOD`, `CONDITION MET`… or sense as `5/24/00`, with `@2.7` (CDB byte and bit), `#8` (parameter byte), `i77`. */
export function outcome({ status, sense }: CommandResult): string {
  if (status !== Status.CHECK_CONDITION) {
    return (
      Object.entries(Status)
        .find(([, code]) => code === status)?.[0]
        .replace('_', ' ') ?? `${status}`
    );
  }
  return (sense[0] & 0x7f) >= 0x72 ? descriptorOutcome(sense) : fixedOutcome(sense);
}

const hex = (byte: number) => byte.toString(16).padStart(2, '0');

function fixedOutcome(sense: Uint8Array): string {
  const information = (sense[0] & 0x80) !== 0 ? ` i${u32(sense, 3)}` : '';
  return `${(sense[2] & 0x0f).toString(16)}/${hex(sense[12])}/${hex(sense[13])}${pointer(sense, 15)}${information}`;
}

function descriptorOutcome(sense: Uint8Array): string {
  let text = `${(sense[1] & 0x0f).toString(16)}/${hex(sense[2])}/${hex(sense[3])}`;
  for (let at = 8; at < sense.length; at += 2 + sense[at + 1]) {
    if (sense[at] === 0x02) text += pointer(sense, at + 4);
    if (sense[at] === 0x00) text += ` i${u64(sense, at + 4)}`;
  }
  return text;
}

function pointer(sense: Uint8Array, at: number): string {
  if ((sense[at] & 0x80) === 0) return '';
  const bit = (sense[at] & 0x08) !== 0 ? `.${sense[at] & 0x07}` : '';
  return `${(sense[at] & 0x40) !== 0 ? '@' : '#'}${(sense[at + 1] << 8) | sense[at + 2]}${bit}`;
}

/** `blocks` blocks whose every byte depends on its place and on `seed`. */
export function pattern(bytes: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8) + seed * 31 + 1) & 0xff);
}
