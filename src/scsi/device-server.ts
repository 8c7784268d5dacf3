/**
 * The task router and device server (SAM-5 4.6.8): from a task to the row of its command, through the checks
 * that hold for every command. Fabrics call `execute`; everything after is the row's handler.
 */
import { absentUnit } from './absent-unit.ts';
import type { CommandRow } from './command.ts';
import type { Environment } from './environment.ts';
import { Sense } from './sense-spec.ts';
import type { Task } from './task.ts';

/** Runs `task`; it ends by `task.owner.taskDone`, possibly before this returns. */
export function execute(task: Task, environment: Environment): void {
  task.environment = environment;
  task.active = true;
  const itl = task.nexus!.unit(task.lun);
  if (itl === undefined) {
    absentUnit(task);
    return;
  }
  task.itl = itl;
  const unit = itl.logicalUnit;
  const row = unit.commands.lookup(task.cdb);
  task.row = row;
  // SAM-5 5.14: a pending unit attention comes before anything the CDB may have wrong.
  if (itl.unitAttentions.pending && (row === undefined || row.unitAttention === 'report')) {
    task.fail(itl.unitAttentions.take()!);
    return;
  }
  if (row === undefined || (row.supported !== undefined && !row.supported(unit))) {
    unknownCommand(task);
    return;
  }
  if (usageAllows(task, row)) unit.taskSet.accept(task);
}

function unknownCommand(task: Task): void {
  const { commands } = task.logicalUnit;
  const opcode = task.cdb[0];
  if (!commands.hasServiceActions(opcode))
    task.fail(Sense.INVALID_COMMAND_OPERATION_CODE, { field: { inCdb: true, byte: 0 } });
  else if (opcode === 0x7f) task.failCdbField(8);
  else task.failCdbField(1, 4);
}

/** Ends the task and returns false when a bit is set that CDB USAGE DATA does not allow (SPC-4 4.2.5.1). */
function usageAllows(task: Task, row: CommandRow): boolean {
  const { cdb } = task;
  const { usage, cdbLength } = row;
  if (task.cdbLength < cdbLength) {
    task.failCdbField(task.cdbLength);
    return false;
  }
  for (let i = 1; i < cdbLength; i++) {
    const forbidden = cdb[i] & ~usage[i];
    if (forbidden !== 0) {
      task.failCdbField(i, 31 - Math.clz32(forbidden));
      return false;
    }
  }
  return true;
}
