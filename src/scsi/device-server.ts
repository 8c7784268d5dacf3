/**
 * The task router and device server (SAM-5 4.6.8): from a task to the row of its command, through the checks
 * that hold for every command. Fabrics call `execute`; the task set calls `begin` when the task's turn has come;
 * everything after is the row's handler.
 */
import { absentUnit } from './absent-unit.ts';
import type { Command } from './command.ts';
import type { Environment } from './environment.ts';
import { Sense } from './sense-spec.ts';
import { Status } from './status-spec.ts';
import type { Task } from './task.ts';

/**
 * Runs `task`; it ends by `task.owner.taskDone`, possibly before this returns.
 *
 * What most tasks have in common with the one before in their object is only stored where it differs: to store an
 * object costs more than to compare it, since the garbage collector has to hear of it.
 */
export function execute(task: Task, environment: Environment): void {
  if (task.environment !== environment) task.environment = environment;
  task.active = true;
  const itl = task.nexus!.unit(task.lun);
  if (task.itl !== itl) task.itl = itl;
  if (itl === undefined) {
    task.row = undefined;
    absentUnit(task);
    return;
  }
  const unit = itl.logicalUnit;
  const row = unit.commands.lookup(task.cdb);
  if (task.row !== row) task.row = row;
  unit.taskSet.accept(task);
}

/** Checks a task that entered the enabled state and runs its handler. */
export function begin(task: Task): void {
  try {
    process(task);
  } catch (error) {
    failInternally(task, error);
  }
}

/**
 * Ends a task whose handler threw: a defect of ours, which must cost one command and not the process. An
 * operation that is running still uses the task's memory, so then its completion ends the task.
 */
function failInternally(task: Task, error: unknown): void {
  const environment = task.environment!;
  const unfinished = task.active && !task.operation.running;
  if (unfinished) task.fail(Sense.INTERNAL_TARGET_FAILURE);
  if (environment.defect === undefined) throw error;
  environment.defect(error);
}

/** A handler from an async function: what it throws becomes INTERNAL TARGET FAILURE. */
export function asyncHandler(handler: (task: Task) => Promise<void>): (task: Task) => void {
  return (task) => {
    handler(task).catch((error: unknown) => failInternally(task, error));
  };
}

function process(task: Task): void {
  const row = task.row;
  const itl = task.itl!;
  const unit = itl.logicalUnit;
  if (task.aborted) {
    task.finish(Status.TASK_ABORTED);
    return;
  }
  // SAM-5 5.14: a pending unit attention comes before anything the CDB may have wrong.
  if (itl.unitAttentions.pending && (row === undefined || row.unitAttention === 'report')) {
    reportUnitAttention(task);
    return;
  }
  if (row === undefined || (row.supported !== undefined && !row.supported(unit))) {
    unknownCommand(task);
    return;
  }
  if (usageAllows(task, row) && unit.admit(task)) row.handler(task);
}

/** SAM-5 5.3.3: a reservation conflict comes before all unit attentions but those of resets. */
function reportUnitAttention(task: Task): void {
  const { unitAttentions, logicalUnit } = task.itl!;
  if (!unitAttentions.resetPending && task.row !== undefined && logicalUnit.conflictsWithReservation(task)) {
    task.finish(Status.RESERVATION_CONFLICT);
  } else {
    task.fail(unitAttentions.report(logicalUnit.control));
  }
}

function unknownCommand(task: Task): void {
  const unit = task.logicalUnit;
  const { commands } = unit;
  const opcode = task.cdb[0];
  if (!commands.hasServiceActions(opcode) || !commands.supportsOpcode(unit, opcode))
    task.fail(Sense.INVALID_COMMAND_OPERATION_CODE, { field: { inCdb: true, byte: 0 } });
  else if (opcode === 0x7f) task.failCdbField(8);
  else task.failCdbField(1, 4);
}

/** Ends the task and returns false when a bit is set that CDB USAGE DATA does not allow (SPC-4 4.2.5.1). */
function usageAllows(task: Task, row: Command): boolean {
  const { cdb } = task;
  if (task.cdbLength < row.cdbLength) {
    task.failCdbField(task.cdbLength);
    return false;
  }
  const at = row.forbiddenByte(cdb);
  if (at !== 0) {
    task.failCdbField(at, 31 - Math.clz32(cdb[at] & ~row.usage[at]));
    return false;
  }
  return true;
}
