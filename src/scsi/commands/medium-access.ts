/**
 * What READ and WRITE of every CDB length share: range checks, the hand-over to the backstore, and what its
 * outcome means in sense data. On the hot path: no allocation, no closure, no promise.
 */
import { type BackstoreOperation, OperationKind, type OperationOwner, Outcome } from '../backstore.ts';
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { acceptsDpoFua } from '../block-limits.ts';
import { conclude, failureOf } from '../medium.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';

/** Byte 1 of most medium access CDBs: RDPROTECT, WRPROTECT, VRPROTECT or ORPROTECT; DPO; FUA. */
export const PROTECT = 0xe0;
export const DPO = 0x10;
export const FUA = 0x08;

const { READ, WRITE } = OperationKind;
const { GOOD } = Outcome;

/**
 * Checks that `blocks` logical blocks from `lba` exist and records the range in the task. `lbaByte` is where the
 * LBA stands in the CDB. Ends the task and returns false when they do not.
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

/**
 * Checks a transfer length against MAXIMUM TRANSFER LENGTH (SBC-3 6.5.3). `lengthByte` is where it stands in the
 * CDB. Ends the task and returns false when it is too long.
 */
export function checkTransferLength(
  task: Task,
  device: BlockDevice,
  blocks: number,
  lengthByte: number,
): boolean {
  if (blocks <= device.limits.maximumTransferLength) return true;
  task.failCdbField(lengthByte);
  return false;
}

/** Ends the task and returns false when DPO or FUA is set and the mode pages say that they are not accepted. */
export function checkDpoFua(task: Task, device: BlockDevice, flags: number, flagsByte = 1): boolean {
  if ((flags & (DPO | FUA)) === 0 || acceptsDpoFua(device)) return true;
  task.failCdbField(flagsByte, (flags & DPO) === 0 ? 3 : 4);
  return false;
}

const transferOwner: OperationOwner = {
  operationDone(operation: BackstoreOperation): void {
    const task = operation.context as Task;
    const device = blockDeviceOf(task);
    if (operation.outcome === GOOD) {
      device.statistics.transferred(operation);
      task.transferred = operation.length;
      if (device.thresholds.armed && operation.kind === WRITE) {
        device.thresholds.wrote(operation.length);
      }
      task.good();
    } else {
      device.statistics.failed(operation, task.row);
      if (operation.kind === READ) task.transferred = operation.transferred;
      conclude(task, failureOf(operation, device.blockSize));
    }
    // The task may be in use again by now: only the device is safe to look at.
    if (device.rangeLocks.held !== 0) device.rangeLocks.ended();
  },
};

/** After the flush that a READ with FUA starts with, the read itself. */
const flushedOwner: OperationOwner = {
  operationDone(operation: BackstoreOperation): void {
    const task = operation.context as Task;
    if (operation.outcome !== GOOD || task.aborted) {
      if (operation.outcome === GOOD) operation.outcome = Outcome.CANCELLED;
      transferOwner.operationDone(operation);
      return;
    }
    operation.kind = READ;
    operation.owner = transferOwner;
    operation.startOn(blockDeviceOf(task).backstore);
  },
};

/** Reads the task's range into the initiator's buffer and ends the task. On comparing before storing: see `execute`. */
export function startRead(task: Task, device: BlockDevice, forceUnitAccess: boolean): void {
  const { operation } = task;
  operation.kind = READ;
  if (operation.owner !== transferOwner) operation.owner = transferOwner;
  if (operation.segments !== task.dataIn) operation.segments = task.dataIn;
  if (!prepare(task, device, task.dataIn.byteLength)) return;
  if (forceUnitAccess && device.backstore.capabilities.volatileCache) {
    // FUA reads what is on stable storage, so what is only cached goes there first (SBC-3 5.8).
    operation.kind = OperationKind.FLUSH;
    operation.owner = flushedOwner;
  }
  submitInTurn(task, device);
}

/** Writes the initiator's buffer to the task's range and ends the task. */
export function startWrite(task: Task, device: BlockDevice, forceUnitAccess: boolean): void {
  const { operation } = task;
  const { byteLength } = task.dataOut;
  const length = task.blocks * device.blockSize;
  if (byteLength < length && byteLength % device.blockSize !== 0) {
    // Half a block cannot be written, and GOOD would say that it was; FCP-4 has this answer where a transport
    // announces fewer bytes than the CDB.
    task.transferLength = length;
    return task.fail(Sense.INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
  }
  if (device.tokens.live) device.tokens.changing(task.lba, task.blocks);
  operation.kind = WRITE;
  if (operation.owner !== transferOwner) operation.owner = transferOwner;
  if (operation.segments !== task.dataOut) operation.segments = task.dataOut;
  operation.forceUnitAccess = forceUnitAccess || !device.writeCacheEnabled;
  if (prepare(task, device, task.dataOut.byteLength)) submitInTurn(task, device);
}

/** Fills in the range; ends the task and returns false when there is nothing to move. `buffer` in bytes. */
function prepare(task: Task, device: BlockDevice, buffer: number): boolean {
  const { blockSize } = device;
  const { operation } = task;
  const length = task.blocks * blockSize;
  task.transferLength = length;
  operation.offset = task.lba * blockSize;
  // A buffer too small for the range moves the whole blocks that it holds; the fabric reports the overflow. A
  // READ that ends inside a block never comes here: see cut-read.ts.
  operation.length = length <= buffer ? length : buffer - (buffer % blockSize);
  operation.segmentsOffset = 0;
  if (operation.length > 0) return true;
  task.good();
  return false;
}

/** Starts the operation now, or when nobody holds its range any more. */
function submitInTurn(task: Task, device: BlockDevice): void {
  const locks = device.rangeLocks;
  if (locks.held === 0 || !locks.defer(task, submit)) task.operation.startOn(device.backstore);
}

function submit(task: Task): void {
  const device = blockDeviceOf(task);
  if (!task.aborted && device.notReady === undefined) {
    task.operation.startOn(device.backstore);
    return;
  }
  // While it waited, whoever held its range may have left a medium that takes no more commands.
  if (task.aborted) task.finish(Status.TASK_ABORTED);
  else task.fail(device.notReady!.sense);
  if (device.rangeLocks.held !== 0) device.rangeLocks.ended();
}
