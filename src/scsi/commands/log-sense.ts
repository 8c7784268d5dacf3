/** LOG SENSE (SPC-4 6.8). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { blockDeviceLogPages } from '../log-pages/block-device-pages.ts';
import { formatParameters, type LogPage, logPage } from '../log-pages/log-page.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

const PAGE_CODE = 0x3f;
const SUPPORTED_PAGES = 0x00;
const ALL_SUBPAGES = 0xff;
/** PAGE CONTROL. Thresholds are not kept, so they cannot be asked for. */
const PageControl = { CUMULATIVE: 1, DEFAULT_CUMULATIVE: 3 } as const;

function logSense(task: Task): void {
  const { cdb } = task;
  const device = blockDeviceOf(task);
  const code = cdb[2] & PAGE_CODE;
  const subpage = cdb[3];
  const allocationLength = u16(cdb, 7);
  const list = pageList(device, code, subpage);
  if (list !== undefined) return task.respond(logPage(code, subpage, list), allocationLength);
  const page = blockDeviceLogPages.find((row) => row.code === code && row.subpage === subpage);
  if (page === undefined || page.supported?.(device) === false) {
    const knownPage = blockDeviceLogPages.some((row) => row.code === code);
    return knownPage ? task.failCdbField(3) : task.failCdbField(2, 5);
  }
  const control = cdb[2] >> 6;
  if (control !== PageControl.CUMULATIVE && control !== PageControl.DEFAULT_CUMULATIVE) {
    return task.failCdbField(2, 7);
  }
  const pointer = u16(cdb, 5);
  const counts = countsFor(device, page, control);
  const parameters = page.parameters(device, counts).filter((parameter) => parameter.code >= pointer);
  if (parameters.length === 0) return task.failCdbField(5);
  task.respond(logPage(code, subpage, formatParameters(parameters)), allocationLength);
}

/** The defaults of counters that can be set back are 0. */
function countsFor(device: BlockDevice, page: LogPage, control: number): Float64Array {
  const counts = device.statistics.since(page);
  return control === PageControl.DEFAULT_CUMULATIVE && page.clearable ? counts.map(() => 0) : counts;
}

/** Supported pages (00/00), pages with subpages (00/FF), or subpages of one page (xx/FF); undefined for others. */
function pageList(device: BlockDevice, code: number, subpage: number): Uint8Array | undefined {
  const pages = blockDeviceLogPages.filter((row) => row.supported?.(device) ?? true);
  if (code === SUPPORTED_PAGES && subpage === 0) {
    return Uint8Array.from([...new Set([SUPPORTED_PAGES, ...pages.map((row) => row.code)])]);
  }
  if (subpage !== ALL_SUBPAGES) return undefined;
  const pairs: number[] = [];
  if (code === SUPPORTED_PAGES) pairs.push(SUPPORTED_PAGES, 0, SUPPORTED_PAGES, ALL_SUBPAGES);
  const listed = pages.filter((row) => code === SUPPORTED_PAGES || row.code === code);
  if (listed.length === 0) return undefined;
  for (const row of listed) pairs.push(row.code, row.subpage);
  return Uint8Array.from(pairs);
}

export const logSenseCommands: readonly CommandRow[] = [
  {
    name: 'LOG SENSE',
    opcode: 0x4d,
    cdbLength: 10,
    // SP stays 0: there is nowhere to save a log. PPC is obsolete.
    usage: [0x4d, 0, 0xff, 0xff, 0, ...any(2), ...any(2), CONTROL],
    direction: 'in',
    reservation: 'allowed',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.8',
    handler: logSense,
  },
];
