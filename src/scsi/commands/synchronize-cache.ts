/** SYNCHRONIZE CACHE (10) and (16) (SBC-3 5.23, 5.24). */
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { flushLater } from '../flush-later.ts';
import type { Medium, Verdict } from '../medium.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { checkRange } from './medium-access.ts';
import { NO_MEMORY, runSteps } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';

const IMMED = 0x02;
/** Obsolete since SBC-3, and libiscsi's NoMedia sets it: a flush reaches the medium, which is more than it asks. */
const SYNC_NV = 0x04;

function synchronizeCache(task: Task, lba: number, blocks: number): void {
  const device = blockDeviceOf(task);
  // 0 blocks means all that follow, so only the LBA itself can be wrong then.
  if (!checkRange(task, device, lba, blocks, 2)) return;
  // A backstore knows of no ranges in its cache: it is flushed as a whole, and the task waits for no lock.
  task.blocks = 0;
  if ((task.cdb[1] & IMMED) === 0) runSteps(task, device, NO_MEMORY, flush);
  else {
    void flushLater(device);
    task.good();
  }
}

async function flush(medium: Medium): Promise<Verdict> {
  const { device } = medium;
  const unreported = device.unreportedFlushFailure;
  // Before the wait: another flush that nobody waits for may fail meanwhile, and this one will not tell of it.
  device.unreportedFlushFailure = undefined;
  return unreported ?? (await medium.flush()) ?? Status.GOOD;
}

const common = {
  direction: 'none',
  reservation: 'write',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: false,
  timeout: 60,
} as const;

export const synchronizeCacheCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'SYNCHRONIZE CACHE(10)',
    opcode: 0x35,
    cdbLength: 10,
    usage: [0x35, SYNC_NV | IMMED, ...any(4), GROUP_NUMBER, ...any(2), CONTROL],
    standard: 'SBC-3 5.23',
    handler: (task) => synchronizeCache(task, u32(task.cdb, 2), u16(task.cdb, 7)),
  },
  {
    ...common,
    name: 'SYNCHRONIZE CACHE(16)',
    opcode: 0x91,
    cdbLength: 16,
    usage: [0x91, SYNC_NV | IMMED, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.24',
    handler: (task) => synchronizeCache(task, u64(task.cdb, 2), u32(task.cdb, 10)),
  },
];
