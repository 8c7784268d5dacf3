/** Primary commands as tests send them: CDBs with their allocation length, and what came back. */
import type { CommandResult, Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { putU16, putU32 } from '../../src/scsi/bytes.ts';

/** INQUIRY of a VPD page, or of standard data when `page` is undefined. */
export function inquiry(page?: number, allocationLength = 255): Uint8Array {
  const cdb = Uint8Array.of(0x12, page === undefined ? 0 : 1, page ?? 0, 0, 0, 0);
  putU16(cdb, 3, allocationLength);
  return cdb;
}

interface ModeSenseOptions {
  readonly subpage?: number;
  /** PAGE CONTROL: 0 current, 1 changeable, 2 default, 3 saved. */
  readonly control?: number;
  /** LLBAA 10h, DBD 08h. */
  readonly flags?: number;
}

export function modeSense6(page: number, options: ModeSenseOptions = {}): number[] {
  const { subpage = 0, control = 0, flags = 0 } = options;
  return [0x1a, flags, (control << 6) | page, subpage, 255, 0];
}

export function modeSense10(page: number, options: ModeSenseOptions = {}): number[] {
  const { subpage = 0, control = 0, flags = 0 } = options;
  return [0x5a, flags, (control << 6) | page, subpage, 0, 0, 0, 0x10, 0, 0];
}

export function reportLuns(select: number, allocationLength = 256): Uint8Array {
  const cdb = new Uint8Array(12);
  cdb[0] = 0xa0;
  cdb[2] = select;
  putU32(cdb, 6, allocationLength);
  return cdb;
}

export const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
export const REQUEST_SENSE = [0x03, 0, 0, 0, 252, 0];

/** Sends a command that returns data; the buffer is larger than any answer. */
export function ask(initiator: Initiator, cdb: ArrayLike<number>, lun = 0): Promise<CommandResult> {
  return initiator.send({ cdb, lun, dataInLength: 8192 });
}
