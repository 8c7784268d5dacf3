/** UNMAP (SBC-3 5.27). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { provisioningAbilities } from '../block-limits.ts';
import { u16, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { chunkBytes } from '../medium.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { NO_MEMORY, runSteps } from './steps.ts';
import { any, CONTROL, GROUP_NUMBER, reserved } from './usage.ts';

/*
 * Parameter list (SBC-3 table 104):
 *   0  UNMAP DATA LENGTH (2)   2  UNMAP BLOCK DESCRIPTOR DATA LENGTH (2)   4  reserved (4)
 *   8  descriptors of 16 bytes: UNMAP LOGICAL BLOCK ADDRESS (8), NUMBER OF LOGICAL BLOCKS (4), reserved (4)
 */
const HEADER_LENGTH = 8;
const DESCRIPTOR_LENGTH = 16;

interface Extent {
  readonly lba: number;
  readonly blocks: number;
}

function unmap(task: Task): void {
  const device = blockDeviceOf(task);
  const length = u16(task.cdb, 7);
  if (length === 0) return task.good();
  if (length < HEADER_LENGTH) return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  const list = task.parameterList(length);
  if (list === undefined) return;
  const extents = parse(task, device, list);
  if (extents === undefined) return;
  coverAll(task, extents);
  // Only protection information may have to be written.
  const memory = device.protection.type === 0 ? NO_MEMORY : 2 * chunkBytes(device, task.blocks);
  runSteps(task, device, memory, async (medium) => {
    for (const { lba, blocks } of extents) {
      const failure = await medium.unmap(lba, blocks);
      if (failure !== undefined) return failure;
    }
    return Status.GOOD;
  });
}

/** The ranges to unmap, all of them checked before the first is touched; undefined when the task has ended. */
function parse(task: Task, device: BlockDevice, list: Uint8Array): Extent[] | undefined {
  const { maximumUnmapLbaCount, maximumUnmapBlockDescriptorCount } = device.limits;
  const descriptorBytes = u16(list, 2);
  if (HEADER_LENGTH + descriptorBytes > list.length) {
    task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
    return undefined;
  }
  // A last descriptor that is cut off is ignored (SBC-3 5.27.2).
  const count = Math.floor(descriptorBytes / DESCRIPTOR_LENGTH);
  if (count > maximumUnmapBlockDescriptorCount) {
    task.failParameterField(2);
    return undefined;
  }
  const extents: Extent[] = [];
  let total = 0;
  for (let i = 0; i < count; i++) {
    const at = HEADER_LENGTH + i * DESCRIPTOR_LENGTH;
    const lba = u64(list, at);
    const blocks = u32(list, at + 8);
    total += blocks;
    if (total > maximumUnmapLbaCount) {
      task.failParameterField(at + 8);
      return undefined;
    }
    if (lba + blocks > device.blockCount) {
      task.fail(Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE, { field: { inCdb: false, byte: at } });
      return undefined;
    }
    if (blocks > 0) extents.push({ lba, blocks });
  }
  return extents;
}

/** The task's range for range locks: from the first block named to the last. */
function coverAll(task: Task, extents: readonly Extent[]): void {
  let end = 0;
  task.lba = 0;
  for (const [i, { lba, blocks }] of extents.entries()) {
    if (i === 0 || lba < task.lba) task.lba = lba;
    if (lba + blocks > end) end = lba + blocks;
  }
  task.blocks = end - task.lba;
}

export const unmapCommands: readonly CommandRow[] = [
  {
    name: 'UNMAP',
    opcode: 0x42,
    cdbLength: 10,
    // ANCHOR stays forbidden: no backstore can reserve space without data (ANC_SUP is 0).
    usage: [0x42, 0, ...reserved(4), GROUP_NUMBER, ...any(2), CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'active',
    unitAttention: 'report',
    needsReady: true,
    writes: true,
    timeout: 60,
    standard: 'SBC-3 5.27',
    supported: (unit) => provisioningAbilities(unit as BlockDevice).unmap,
    handler: unmap,
  },
];
