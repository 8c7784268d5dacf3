/** Parameter lists of EXTENDED COPY(LID1) in a test's words. */
import type { CommandResult, Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { concatenate, putU16, putU24, putU32, putU64 } from '../../src/scsi/bytes.ts';
import { TEST_IDENTITY } from './core.ts';

export interface CscdFields {
  readonly naa?: Uint8Array;
  readonly type?: number;
  readonly deviceType?: number;
  readonly designatorType?: number;
  readonly designatorLength?: number;
  readonly blockLength?: number;
}

export function cscd(fields: CscdFields = {}): Uint8Array {
  const { naa = TEST_IDENTITY.naa, designatorLength = naa.length } = fields;
  const bytes = new Uint8Array(32);
  bytes[0] = fields.type ?? 0xe4;
  bytes[1] = fields.deviceType ?? 0;
  bytes[4] = 1;
  bytes[5] = fields.designatorType ?? 3;
  bytes[7] = designatorLength;
  bytes.set(naa, 8);
  putU24(bytes, 29, fields.blockLength ?? 512);
  return bytes;
}

export interface SegmentFields {
  readonly source?: number;
  readonly destination?: number;
  readonly from?: number;
  readonly to?: number;
}

/** Block to block, 02h; `blocks` of the source unless `dc`. */
export function blocks(count: number, fields: SegmentFields & { readonly dc?: boolean } = {}): Uint8Array {
  const bytes = new Uint8Array(28);
  bytes[0] = 0x02;
  bytes[1] = fields.dc ? 2 : 0;
  putU16(bytes, 2, 0x18);
  putU16(bytes, 4, fields.source ?? 0);
  putU16(bytes, 6, fields.destination ?? 0);
  putU16(bytes, 10, count);
  putU64(bytes, 12, fields.from ?? 0);
  putU64(bytes, 20, fields.to ?? 0);
  return bytes;
}

/** Block with offset to block with offset, 0Ah. */
export function bytesAt(
  count: number,
  fields: SegmentFields & { readonly fromOffset?: number; readonly toOffset?: number } = {},
): Uint8Array {
  const bytes = new Uint8Array(32);
  bytes[0] = 0x0a;
  putU16(bytes, 2, 0x1c);
  putU16(bytes, 4, fields.source ?? 0);
  putU16(bytes, 6, fields.destination ?? 0);
  putU32(bytes, 8, count);
  putU64(bytes, 12, fields.from ?? 0);
  putU64(bytes, 20, fields.to ?? 0);
  putU16(bytes, 28, fields.fromOffset ?? 0);
  putU16(bytes, 30, fields.toOffset ?? 0);
  return bytes;
}

/** Verify CSCD, 07h. */
export function verify(source: number, testUnitReady = false): Uint8Array {
  const bytes = new Uint8Array(12);
  bytes[0] = 0x07;
  putU16(bytes, 2, 8);
  putU16(bytes, 4, source);
  bytes[8] = testUnitReady ? 1 : 0;
  return bytes;
}

export interface CopyFields {
  readonly listId?: number;
  /** LIST ID USAGE. */
  readonly usage?: number;
  readonly inlineLength?: number;
}

export function copyList(
  cscds: readonly Uint8Array[],
  segments: readonly Uint8Array[],
  fields: CopyFields = {},
): Uint8Array {
  const header = new Uint8Array(16);
  const length = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);
  header[0] = fields.listId ?? 1;
  header[1] = (fields.usage ?? 0) << 3;
  putU16(header, 2, length(cscds));
  putU32(header, 8, length(segments));
  putU32(header, 12, fields.inlineLength ?? 0);
  return concatenate([header, ...cscds, ...segments]);
}

export function copyCdb(length: number): number[] {
  const cdb = new Uint8Array(16);
  cdb[0] = 0x83;
  putU32(cdb, 10, length);
  return [...cdb];
}

export function sendCopy(initiator: Initiator, list: Uint8Array): Promise<CommandResult> {
  return initiator.send({ cdb: copyCdb(list.length), dataOut: list });
}

/** RECEIVE COPY RESULTS. */
export function receive(
  initiator: Initiator,
  serviceAction: number,
  listId = 0,
  allocationLength = 1024,
): Promise<CommandResult> {
  const cdb = new Uint8Array(16);
  cdb[0] = 0x84;
  cdb[1] = serviceAction;
  cdb[2] = listId;
  putU32(cdb, 10, allocationLength);
  return initiator.send({ cdb, dataInLength: allocationLength });
}
