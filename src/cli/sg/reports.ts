/** What each `lunport sg` report sends, and who decodes the answer. */
import { putU16, putU32, putU64 } from '../../scsi/bytes.ts';
import * as cdbs from './cdbs.ts';
import type { Decoded } from './decoded.ts';
import { decodeInquiry } from './inquiry.ts';
import { decodeLogPage, type LogPageId, supportedLogPages } from './log-pages.ts';
import { decodeModeData } from './mode-pages.ts';
import { decodeCapacity, decodeLuns, decodeOperationCodes, decodeTaskManagement } from './operation-codes.ts';
import type { PageId } from './page-name.ts';
import type { SgSession } from './session.ts';
import { decodeVpdPage } from './vpd-pages.ts';

/** Bytes; more than any report here has. */
const ALLOCATION_LENGTH = 0x8000;
const UNMAP_LIST_LENGTH = 24;

export const ALL_MODE_PAGES: PageId = { page: 0x3f, subpage: 0xff };

function ask(session: SgSession, name: string, cdb: Uint8Array): Promise<Uint8Array> {
  return session.run(name, { cdb, dataInLength: ALLOCATION_LENGTH });
}

export async function standardInquiry(session: SgSession): Promise<Decoded> {
  const data = await ask(session, 'INQUIRY', cdbs.inquiry(undefined, ALLOCATION_LENGTH));
  const serial = await session.runIfSupported('INQUIRY', {
    cdb: cdbs.inquiry(0x80, ALLOCATION_LENGTH),
    dataInLength: ALLOCATION_LENGTH,
  });
  const { unit_serial_number } =
    serial === undefined ? {} : (decodeVpdPage(serial) as Record<string, string>);
  return { ...decodeInquiry(data), ...(unit_serial_number === undefined ? {} : { unit_serial_number }) };
}

export function vpdPage({ page }: PageId) {
  return async (session: SgSession): Promise<Decoded> =>
    decodeVpdPage(await ask(session, 'INQUIRY', cdbs.inquiry(page, ALLOCATION_LENGTH)));
}

export async function allVpdPages(session: SgSession): Promise<Decoded> {
  const list = await ask(session, 'INQUIRY', cdbs.inquiry(0, ALLOCATION_LENGTH));
  const pages: Decoded[] = [];
  for (const page of list.subarray(4)) pages.push(await vpdPage({ page, subpage: 0 })(session));
  return { pages };
}

export function modePages({ page, subpage }: PageId, control: number) {
  return async (session: SgSession): Promise<Decoded> =>
    decodeModeData(
      await ask(session, 'MODE SENSE(10)', cdbs.modeSense(page, subpage, control, ALLOCATION_LENGTH)),
    );
}

export function logPage({ page, subpage }: LogPageId) {
  return async (session: SgSession): Promise<Decoded> =>
    decodeLogPage(await ask(session, 'LOG SENSE', cdbs.logSense(page, subpage, ALLOCATION_LENGTH)));
}

export async function allLogPages(session: SgSession): Promise<Decoded> {
  const list = await ask(session, 'LOG SENSE', cdbs.logSense(0, 0xff, ALLOCATION_LENGTH));
  const pages: Decoded[] = [];
  for (const id of supportedLogPages(list)) {
    if (id.page !== 0 && id.subpage !== 0xff) pages.push(await logPage(id)(session));
  }
  return { pages };
}

export async function operationCodes(session: SgSession): Promise<Decoded> {
  const cdb = cdbs.reportOperationCodes(ALLOCATION_LENGTH);
  return decodeOperationCodes(await ask(session, 'REPORT SUPPORTED OPERATION CODES', cdb));
}

export async function taskManagement(session: SgSession): Promise<Decoded> {
  const cdb = cdbs.reportTaskManagement(ALLOCATION_LENGTH);
  return decodeTaskManagement(await ask(session, 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS', cdb));
}

export async function capacity(session: SgSession): Promise<Decoded> {
  return decodeCapacity(await ask(session, 'READ CAPACITY(16)', cdbs.readCapacity16(ALLOCATION_LENGTH)));
}

export function luns(select: number) {
  return async (session: SgSession): Promise<Decoded> =>
    decodeLuns(await ask(session, 'REPORT LUNS', cdbs.reportLuns(select, ALLOCATION_LENGTH)));
}

export async function testUnitReady(session: SgSession): Promise<Decoded> {
  await session.run('TEST UNIT READY', { cdb: [0, 0, 0, 0, 0, 0] });
  return { ready: true };
}

export function synchronize(lba: number, blocks: number) {
  return async (session: SgSession): Promise<undefined> => {
    await session.run('SYNCHRONIZE CACHE(16)', { cdb: cdbs.synchronizeCache(lba, blocks) });
  };
}

export function unmapRange(lba: number, blocks: number) {
  return async (session: SgSession): Promise<undefined> => {
    const list = new Uint8Array(UNMAP_LIST_LENGTH);
    putU16(list, 0, UNMAP_LIST_LENGTH - 2);
    putU16(list, 2, UNMAP_LIST_LENGTH - 8);
    putU64(list, 8, lba);
    putU32(list, 16, blocks);
    await session.run('UNMAP', { cdb: cdbs.unmap(UNMAP_LIST_LENGTH), dataOut: list });
  };
}
