/**
 * What READ and WRITE of every CDB length share: range checks, the hand-over to the backstore, and what its
 * outcome means in sense data. On the hot path: no allocation, no closure, no promise.
 */
import { type BackstoreOperation, OperationKind, type OperationOwner, Outcome } from '../backstore.ts';
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';

/**
 * Checks that `blocks` logical blocks from `lba` exist and records the range in the task. `lbaByte` and
 * `lengthByte` are where these fields stand in the CDB. Ends the task and returns false when they do not.
 */
export function checkRange(
  task: Task,
  device: BlockDevice,
  lba: number,
  blocks: number,
  lbaByte: number,
): boolean {
  task.lba = lba;
  task.blocks = blocks;
  // SBC-3 5.8: an LBA past the end is wrong even when nothing is transferred.
  if (lba + blocks > device.blockCount || lba > device.blockCount) {
    task.fail(Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE, { field: { inCdb: true, byte: lbaByte } });
    return false;
  }
  return true;
}

const mediumAccessOwner: OperationOwner = {
  operationDone(operation: BackstoreOperation): void {
    const task = operation.context as Task;
    if (operation.outcome === Outcome.GOOD) {
      task.transferred = operation.length;
      task.good();
    } else {
      failOutcome(task, operation);
    }
  },
};

/** Reads the task's range into the initiator's buffer and ends the task. */
export function startRead(task: Task, device: BlockDevice): void {
  startTransfer(task, device, OperationKind.READ, task.dataIn.byteLength, false);
}

/** Writes the initiator's buffer to the task's range and ends the task. */
export function startWrite(task: Task, device: BlockDevice, forceUnitAccess: boolean): void {
  startTransfer(
    task,
    device,
    OperationKind.WRITE,
    task.dataOut.byteLength,
    forceUnitAccess || !device.writeCacheEnabled,
  );
}

function startTransfer(
  task: Task,
  device: BlockDevice,
  kind: OperationKind,
  buffer: number,
  fua: boolean,
): void {
  const { blockSize } = device;
  const length = task.blocks * blockSize;
  task.transferLength = length;
  const operation = task.operation;
  operation.kind = kind;
  operation.offset = task.lba * blockSize;
  // A buffer too small for the range moves the whole blocks that it holds; the fabric reports the overflow.
  operation.length = length <= buffer ? length : buffer - (buffer % blockSize);
  operation.segments = kind === OperationKind.READ ? task.dataIn : task.dataOut;
  operation.segmentsOffset = 0;
  operation.forceUnitAccess = fua;
  operation.owner = mediumAccessOwner;
  if (operation.length === 0) {
    task.good();
    return;
  }
  operation.startOn(device.backstore);
}

/** Ends the task with what a failed operation means; the failing LBA goes into the information field. */
export function failOutcome(task: Task, operation: BackstoreOperation): void {
  const device = blockDeviceOf(task);
  const failingLba = Math.floor((operation.offset + operation.transferred) / device.blockSize);
  task.transferred = operation.kind === OperationKind.READ ? operation.transferred : 0;
  const reading = operation.kind === OperationKind.READ;
  switch (operation.outcome) {
    case Outcome.NO_SPACE:
      return task.fail(Sense.SPACE_ALLOCATION_FAILED_WRITE_PROTECT, { information: failingLba });
    case Outcome.WRITE_PROTECTED:
      return task.fail(Sense.WRITE_PROTECTED);
    case Outcome.BUSY:
      return task.finish(Status.BUSY);
    case Outcome.CANCELLED:
      return task.finish(Status.TASK_ABORTED);
    default: {
      const code: SenseCode = reading ? Sense.UNRECOVERED_READ_ERROR : Sense.WRITE_ERROR;
      return task.fail(code, { information: failingLba });
    }
  }
}
