/** CDBs of the primary commands that `lunport sg` sends; lengths in bytes. */
import { putU16, putU32, putU64 } from '../../scsi/bytes.ts';

/** INQUIRY (SPC-4 6.6); without `page`, standard data. */
export function inquiry(page: number | undefined, length: number): Uint8Array {
  const cdb = Uint8Array.of(0x12, page === undefined ? 0 : 1, page ?? 0, 0, 0, 0);
  putU16(cdb, 3, length);
  return cdb;
}

/** MODE SENSE(10) (SPC-4 6.14), without block descriptors; `control`: current, changeable, default, saved. */
export function modeSense(page: number, subpage: number, control: number, length: number): Uint8Array {
  const cdb = Uint8Array.of(0x5a, 0x08, (control << 6) | page, subpage, 0, 0, 0, 0, 0, 0);
  putU16(cdb, 7, length);
  return cdb;
}

/** LOG SENSE (SPC-4 6.8) of cumulative values. */
export function logSense(page: number, subpage: number, length: number): Uint8Array {
  const cdb = Uint8Array.of(0x4d, 0, 0x40 | page, subpage, 0, 0, 0, 0, 0, 0);
  putU16(cdb, 7, length);
  return cdb;
}

/** REPORT LUNS (SPC-4 6.33). */
export function reportLuns(select: number, length: number): Uint8Array {
  const cdb = new Uint8Array(12);
  cdb[0] = 0xa0;
  cdb[2] = select;
  putU32(cdb, 6, length);
  return cdb;
}

/** REPORT SUPPORTED OPERATION CODES (SPC-4 6.35) of all commands, with timeouts. */
export function reportOperationCodes(length: number): Uint8Array {
  const cdb = new Uint8Array(12);
  cdb.set([0xa3, 0x0c, 0x80]);
  putU32(cdb, 6, length);
  return cdb;
}

/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36). */
export function reportTaskManagement(length: number): Uint8Array {
  const cdb = new Uint8Array(12);
  cdb.set([0xa3, 0x0d]);
  putU32(cdb, 6, length);
  return cdb;
}

/** READ CAPACITY(16) (SBC-3 5.16). */
export function readCapacity16(length: number): Uint8Array {
  const cdb = new Uint8Array(16);
  cdb.set([0x9e, 0x10]);
  putU32(cdb, 10, length);
  return cdb;
}

/** PERSISTENT RESERVE IN (SPC-4 6.15). */
export function persistentReserveIn(action: number, length: number): Uint8Array {
  const cdb = Uint8Array.of(0x5e, action, 0, 0, 0, 0, 0, 0, 0, 0);
  putU16(cdb, 7, length);
  return cdb;
}

/** PERSISTENT RESERVE OUT (SPC-4 6.16); the scope is the logical unit. */
export function persistentReserveOut(action: number, type: number, length: number): Uint8Array {
  const cdb = Uint8Array.of(0x5f, action, type, 0, 0, 0, 0, 0, 0, 0);
  putU32(cdb, 5, length);
  return cdb;
}

/** SYNCHRONIZE CACHE(16) (SBC-3 5.27); no blocks mean up to the end. */
export function synchronizeCache(lba: number, blocks: number): Uint8Array {
  const cdb = new Uint8Array(16);
  cdb[0] = 0x91;
  putU64(cdb, 2, lba);
  putU32(cdb, 10, blocks);
  return cdb;
}

/** UNMAP (SBC-3 5.28). */
export function unmap(length: number): Uint8Array {
  const cdb = Uint8Array.of(0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  putU16(cdb, 7, length);
  return cdb;
}
