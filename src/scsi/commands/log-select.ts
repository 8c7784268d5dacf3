/** LOG SELECT (SPC-4 6.7): sets counters back. No parameter can be written. */
import { blockDeviceOf } from '../block-device-of.ts';
import { u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { blockDeviceLogPages } from '../log-pages/block-device-pages.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL, reserved } from './usage.ts';

const PCR = 0x02;
const PAGE_CODE = 0x3f;
/** PAGE CONTROL, of an empty list: to what the page's values are set. */
const PageControl = { CUMULATIVE: 1, DEFAULT_CUMULATIVE: 3 } as const;

function logSelect(task: Task): void {
  const { cdb } = task;
  const device = blockDeviceOf(task);
  if (u16(cdb, 7) !== 0) return task.failCdbField(7);
  const code = cdb[2] & PAGE_CODE;
  const subpage = cdb[3];
  const control = cdb[2] >> 6;
  const everyPage = code === 0 && subpage === 0;
  const pages = blockDeviceLogPages.filter(
    (page) => everyPage || (page.code === code && page.subpage === subpage),
  );
  if (pages.length === 0) return task.failCdbField(2, 5);
  const resets = (cdb[1] & PCR) !== 0 || control === PageControl.DEFAULT_CUMULATIVE;
  // Setting current values to the current values is allowed and does nothing; thresholds are not kept.
  if (!resets && control !== PageControl.CUMULATIVE) return task.failCdbField(2, 7);
  if (resets) {
    for (const page of pages) if (page.clearable) device.statistics.clear(page);
    device.establishForAll(Sense.LOG_PARAMETERS_CHANGED, task.nexus);
  }
  task.good();
}

export const logSelectCommands: readonly CommandRow[] = [
  {
    name: 'LOG SELECT',
    opcode: 0x4c,
    cdbLength: 10,
    usage: [0x4c, PCR, 0xff, 0xff, ...reserved(3), ...any(2), CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.7',
    handler: logSelect,
  },
];
