/** POPULATE TOKEN, WRITE USING TOKEN and what they leave behind, in a test's words. */
import type { CommandResult, Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { concatenate, putU16, putU32, putU64, u16, u32 } from '../../src/scsi/bytes.ts';

/** First block and number of blocks. */
export type Range = readonly [lba: number, blocks: number];

function rangeList(ranges: readonly Range[]): Uint8Array {
  const bytes = new Uint8Array(16 * ranges.length);
  for (const [i, [lba, blocks]] of ranges.entries()) {
    putU64(bytes, 16 * i, lba);
    putU32(bytes, 16 * i + 8, blocks);
  }
  return bytes;
}

export function populateList(
  ranges: readonly Range[],
  fields: { readonly timeout?: number; readonly rodType?: number } = {},
): Uint8Array {
  const header = new Uint8Array(16);
  putU16(header, 0, 14 + 16 * ranges.length);
  header[2] = fields.rodType === undefined ? 0 : 2;
  putU32(header, 4, fields.timeout ?? 0);
  putU32(header, 8, fields.rodType ?? 0);
  putU16(header, 14, 16 * ranges.length);
  return concatenate([header, rangeList(ranges)]);
}

export function writeList(
  token: Uint8Array,
  ranges: readonly Range[],
  fields: { readonly offset?: number; readonly deleteToken?: boolean } = {},
): Uint8Array {
  const header = new Uint8Array(536);
  putU16(header, 0, 534 + 16 * ranges.length);
  header[2] = fields.deleteToken ? 2 : 0;
  putU64(header, 8, fields.offset ?? 0);
  header.set(token, 16);
  putU16(header, 534, 16 * ranges.length);
  return concatenate([header, rangeList(ranges)]);
}

export function sendToken(
  initiator: Initiator,
  serviceAction: 0x10 | 0x11,
  dataOut: Uint8Array,
  options: { readonly listId?: number; readonly lun?: number } = {},
): Promise<CommandResult> {
  const cdb = new Uint8Array(16);
  cdb[0] = 0x83;
  cdb[1] = serviceAction;
  putU32(cdb, 6, options.listId ?? 1);
  putU32(cdb, 10, dataOut.length);
  return initiator.send({ cdb, dataOut, lun: options.lun ?? 0 });
}

export function receiveInformation(
  initiator: Initiator,
  options: { readonly listId?: number; readonly lun?: number; readonly serviceAction?: number } = {},
): Promise<CommandResult> {
  const cdb = new Uint8Array(16);
  cdb[0] = 0x84;
  cdb[1] = options.serviceAction ?? 0x07;
  putU32(cdb, 2, options.listId ?? 1);
  putU32(cdb, 10, 1024);
  return initiator.send({ cdb, dataInLength: 1024, lun: options.lun ?? 0 });
}

export interface Information {
  readonly serviceAction: number;
  readonly status: number;
  /** Blocks. */
  readonly transferred: number;
  readonly senseLength: number;
  readonly token: Uint8Array | undefined;
}

export async function information(...request: Parameters<typeof receiveInformation>): Promise<Information> {
  const { dataIn } = await receiveInformation(...request);
  if (u32(dataIn, 0) !== dataIn.length - 4) throw new Error('AVAILABLE DATA is wrong');
  const descriptors = 32 + dataIn[13];
  const length = u32(dataIn, descriptors);
  return {
    serviceAction: dataIn[4],
    status: dataIn[5],
    transferred: u32(dataIn, 20),
    senseLength: dataIn[14],
    token: length === 0 ? undefined : dataIn.slice(descriptors + 6, descriptors + 4 + length),
  };
}

/** A token for the ranges. Throws when there is none. */
export async function makeToken(
  initiator: Initiator,
  ranges: readonly Range[],
  fields: Parameters<typeof populateList>[1] & { readonly lun?: number } = {},
): Promise<Uint8Array> {
  await sendToken(initiator, 0x10, populateList(ranges, fields), { listId: 99, lun: fields.lun });
  const { token } = await information(initiator, { listId: 99, lun: fields.lun });
  if (token === undefined || u16(token, 6) !== 0x1f8) throw new Error('no token');
  return token;
}

/** The block device zero ROD token. */
export function zeroToken(): Uint8Array {
  const token = new Uint8Array(512);
  putU32(token, 0, 0xffff_0001);
  putU16(token, 6, 0x1f8);
  return token;
}
