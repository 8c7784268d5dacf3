/** RDPROTECT, WRPROTECT, VRPROTECT and ORPROTECT (SBC-3 4.22.2): one field, decoded for all commands. */
import type { BlockDevice } from '../block-device.ts';
import { BlockTransfer } from '../block-transfer.ts';
import { u16, u32 } from '../bytes.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import { checksOf, defaultTags } from '../protection-information.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { VARIABLE_LENGTH } from './cdb-form.ts';

const SHIFT = 5;

/**
 * How the blocks of `task` travel. Undefined, and the task has ended, when the field asks for what the medium
 * has not. `flagsByte` is where the field stands.
 */
export function blockTransfer(
  task: Task,
  device: BlockDevice,
  lba: number,
  flagsByte = 1,
): BlockTransfer | undefined {
  const { cdb } = task;
  const { type } = device.protection;
  const protect = cdb[flagsByte] >> SHIFT;
  const checks = checksOf(protect);
  const long = cdb[0] === VARIABLE_LENGTH;
  if (checks === undefined || (protect !== 0 && type === 0)) {
    task.failCdbField(flagsByte, 7);
    return undefined;
  }
  if (protect !== 0 && type === 2 && !long) {
    // Only a 32-byte CDB can say which reference tags to expect (SBC-3 4.22.2.4).
    task.fail(Sense.INVALID_COMMAND_OPERATION_CODE, { field: { inCdb: true, byte: 0 } });
    return undefined;
  }
  const expected = long
    ? { referenceTag: u32(cdb, 20), applicationTag: u16(cdb, 24), applicationTagMask: u16(cdb, 26) }
    : defaultTags(type, lba);
  return new BlockTransfer(task, device, protect !== 0, checks, expected);
}

/** How the blocks travel of a command without a protect field. */
export function plainTransfer(task: Task, device: BlockDevice, lba: number): BlockTransfer {
  return new BlockTransfer(task, device, false, checksOf(0)!, defaultTags(device.protection.type, lba));
}

/** The 32-byte commands belong to type 2 protection (SBC-3 4.22.2.4). */
export function hasType2Protection(unit: LogicalUnit): boolean {
  return (unit as BlockDevice).protection.type === 2;
}
