/** PRE-FETCH (10) and (16) (SBC-3 5.8, 5.9). */
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { Medium } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { checkRange } from './medium-access.ts';
import { NO_MEMORY, runSteps } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';

const IMMED = 0x02;

function preFetch(task: Task, lba: number, count: number): void {
  const device = blockDeviceOf(task);
  if (!checkRange(task, device, lba, count, 2)) return;
  const blocks = count === 0 ? device.blockCount - lba : count;
  // More than this would only push out what was fetched first: then it is fetched in part, and GOOD says so.
  const fetched = Math.min(blocks, device.limits.maximumTransferLength);
  const status = fetched === blocks ? Status.CONDITION_MET : Status.GOOD;
  if (fetched === 0) return task.finish(status);
  if ((task.cdb[1] & IMMED) === 0) {
    runSteps(task, device, NO_MEMORY, async (medium) => (await medium.prefetch(lba, fetched)) ?? status);
    return;
  }
  void new Medium(device).prefetch(lba, fetched);
  task.finish(status);
}

const common = {
  direction: 'none',
  reservation: 'read',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: false,
  timeout: 60,
} as const;

export const preFetchCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'PRE-FETCH(10)',
    opcode: 0x34,
    cdbLength: 10,
    usage: [0x34, IMMED, ...any(4), GROUP_NUMBER, ...any(2), CONTROL],
    standard: 'SBC-3 5.8',
    handler: (task) => preFetch(task, u32(task.cdb, 2), u16(task.cdb, 7)),
  },
  {
    ...common,
    name: 'PRE-FETCH(16)',
    opcode: 0x90,
    cdbLength: 16,
    usage: [0x90, IMMED, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.9',
    handler: (task) => preFetch(task, u64(task.cdb, 2), u32(task.cdb, 10)),
  },
];
