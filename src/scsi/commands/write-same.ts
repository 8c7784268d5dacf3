/** WRITE SAME (10), (16) (SBC-3 5.43, 5.44). */
import { blockDeviceOf } from '../block-device-of.ts';
import { provisioningAbilities } from '../block-limits.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { checkDataOut } from './data-out.ts';
import { checkRange, PROTECT } from './medium-access.ts';
import { runSteps } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER } from './usage.ts';

/** Byte 1: WRPROTECT, ANCHOR, UNMAP, and in the long forms NDOB. */
const ANCHOR = 0x10;
const UNMAP = 0x08;
const NDOB = 0x01;
const FLAGS_10 = 0xf8;
const FLAGS_16 = FLAGS_10 | NDOB;

function writeSame(task: Task, lba: number, count: number, lengthByte: number): void {
  const device = blockDeviceOf(task);
  const flags = task.cdb[1];
  if ((flags & PROTECT) !== 0) return task.failCdbField(1, 7);
  // ANC_SUP is 0, so ANCHOR is refused with and without UNMAP.
  if ((flags & ANCHOR) !== 0) return task.failCdbField(1, 4);
  const wantsUnmap = (flags & UNMAP) !== 0;
  const { writeSame: canUnmap, readsZero } = provisioningAbilities(device);
  if (wantsUnmap && !canUnmap) return task.failCdbField(1, 3);
  if (lba >= device.blockCount) {
    return task.fail(Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE, { field: { inCdb: true, byte: 2 } });
  }
  // 0 means up to the end of the medium (WSNZ is 0), within the same limit.
  const blocks = count === 0 ? device.blockCount - lba : count;
  const { maximumWriteSameLength } = device.limits;
  if (maximumWriteSameLength !== 0 && blocks > maximumWriteSameLength) return task.failCdbField(lengthByte);
  if (!checkRange(task, device, lba, blocks, 2)) return;
  const block = new Uint8Array(device.blockSize);
  if ((flags & NDOB) === 0) {
    if (!checkDataOut(task, device.blockSize, lengthByte)) return;
    task.transferred = task.copyFromInitiator(block, 0, block.length, 0);
  }
  runSteps(task, device, async (medium) => {
    const zero = block.every((byte) => byte === 0);
    // Only what reads back as the same bytes may be unmapped instead of written (SBC-3 4.7.3.4.4).
    if (wantsUnmap && zero && readsZero) return (await medium.unmap(lba, blocks)) ?? Status.GOOD;
    const failure = zero ? await medium.zero(lba, blocks) : await medium.fill(lba, blocks, block);
    return failure ?? Status.GOOD;
  });
}

const common = {
  direction: 'out',
  reservation: 'write',
  alua: 'active',
  unitAttention: 'report',
  needsReady: true,
  writes: true,
  timeout: 120,
} as const;

export const writeSameCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'WRITE SAME(10)',
    opcode: 0x41,
    cdbLength: 10,
    usage: [0x41, FLAGS_10, ...any(4), GROUP_NUMBER, ...any(2), CONTROL],
    standard: 'SBC-3 5.43',
    handler: (task) => writeSame(task, u32(task.cdb, 2), u16(task.cdb, 7), 7),
  },
  {
    ...common,
    name: 'WRITE SAME(16)',
    opcode: 0x93,
    cdbLength: 16,
    usage: [0x93, FLAGS_16, ...any(8), ...any(4), GROUP_NUMBER, CONTROL],
    standard: 'SBC-3 5.44',
    handler: (task) => writeSame(task, u64(task.cdb, 2), u32(task.cdb, 10), 10),
  },
];
