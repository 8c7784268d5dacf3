/** WRITE SAME (10), (16), (32) (SBC-3 5.43 to 5.45). */
import { blockDeviceOf } from '../block-device-of.ts';
import { provisioningAbilities } from '../block-limits.ts';
import type { BlockTransfer } from '../block-transfer.ts';
import type { CommandRow } from '../command.ts';
import { chunkBytes, type Medium, type Verdict } from '../medium.ts';
import { isUnchecked, type ProtectedBlocks } from '../protection-information.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { type CdbForm, FORM_10, FORM_16, FORM_32, VARIABLE_LENGTH } from './cdb-form.ts';
import { checkDataOut } from './data-out.ts';
import { checkRange } from './medium-access.ts';
import { eachPiece } from './pieces.ts';
import { blockTransfer, hasType2Protection } from './protect-field.ts';
import { runSteps } from './steps.ts';

/** Byte 1: WRPROTECT, ANCHOR, UNMAP, and in the long forms NDOB. */
const ANCHOR = 0x10;
const UNMAP = 0x08;
const NDOB = 0x01;
const FLAGS_10 = 0xf8;
const FLAGS_16 = FLAGS_10 | NDOB;

function writeSame(task: Task, form: CdbForm): void {
  const device = blockDeviceOf(task);
  const flags = task.cdb[form.flagsByte];
  const lba = form.lba(task.cdb);
  const count = form.blocks(task.cdb);
  const transfer = blockTransfer(task, device, lba, form.flagsByte);
  if (transfer === undefined) return;
  // ANC_SUP is 0, so ANCHOR is refused with and without UNMAP.
  if ((flags & ANCHOR) !== 0) return task.failCdbField(form.flagsByte, 4);
  const wantsUnmap = (flags & UNMAP) !== 0;
  const { writeSame: canUnmap, readsZero } = provisioningAbilities(device);
  if (wantsUnmap && !canUnmap) return task.failCdbField(form.flagsByte, 3);
  if (lba >= device.blockCount) {
    const field = { inCdb: true, byte: form.lbaByte };
    return task.fail(Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE, { field });
  }
  // 0 means up to the end of the medium (WSNZ is 0), within the same limit.
  const blocks = count === 0 ? device.blockCount - lba : count;
  const { maximumWriteSameLength } = device.limits;
  if (maximumWriteSameLength !== 0 && blocks > maximumWriteSameLength) {
    return task.failCdbField(form.lengthByte);
  }
  if (!checkRange(task, device, lba, blocks, form.lbaByte)) return;
  const hasData = (flags & NDOB) === 0;
  if (hasData && !checkDataOut(task, transfer, 1, form.lengthByte)) return;
  runSteps(task, device, chunkBytes(device, blocks), async (medium) => {
    const one = transfer.buffers(1);
    if (hasData) transfer.take(0, 1, one);
    const zero = one.data.every((byte) => byte === 0);
    if (hasData && transfer.carriesProtection) {
      return (await fillProtected(task, medium, transfer, one)) ?? Status.GOOD;
    }
    // Only what reads back as the same bytes may be unmapped instead of written (SBC-3 4.7.3.4.4).
    if (wantsUnmap && zero && readsZero) return (await medium.unmap(lba, blocks)) ?? Status.GOOD;
    const failure = zero ? await medium.zero(lba, blocks) : await medium.fill(lba, blocks, one.data);
    return failure ?? Status.GOOD;
  });
}

/** The block came with protection information: it is repeated too, with reference tags counting up. */
async function fillProtected(
  task: Task,
  medium: Medium,
  transfer: BlockTransfer,
  one: ProtectedBlocks,
): Promise<Verdict | undefined> {
  const wrong = isUnchecked(one.tuples) ? undefined : transfer.check(one, 1, 0, false);
  if (wrong !== undefined) return wrong;
  return eachPiece(medium, transfer, task.blocks, ({ index, count, scratch, buffers }) => {
    // The first piece is the longest, and all share the scratch memory.
    if (index === 0) transfer.repeatData(one, buffers, count);
    transfer.repeatTags(one, buffers, count, index);
    return medium.write(task.lba + index, count, scratch, false, buffers.tuples);
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
    usage: FORM_10.usage(0x41, FLAGS_10),
    standard: 'SBC-3 5.43',
    handler: (task) => writeSame(task, FORM_10),
  },
  {
    ...common,
    name: 'WRITE SAME(16)',
    opcode: 0x93,
    cdbLength: 16,
    usage: FORM_16.usage(0x93, FLAGS_16),
    standard: 'SBC-3 5.44',
    handler: (task) => writeSame(task, FORM_16),
  },
  {
    ...common,
    name: 'WRITE SAME(32)',
    opcode: VARIABLE_LENGTH,
    serviceAction: 0x000d,
    cdbLength: 32,
    usage: FORM_32.usage(0x000d, FLAGS_16),
    standard: 'SBC-3 5.45',
    supported: hasType2Protection,
    handler: (task) => writeSame(task, FORM_32),
  },
];
