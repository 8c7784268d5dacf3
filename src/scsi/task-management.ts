/**
 * Task management functions (SAM-5 7). A function that aborts tasks is answered only when all of them have ended:
 * after that nothing touches their memory.
 */

import type { LogicalUnit } from './logical-unit.ts';
import type { ItlNexus, Nexus } from './nexus.ts';
import { Sense } from './sense-spec.ts';
import { ServiceResponse } from './status-spec.ts';
import type { Task } from './task.ts';

export const TaskManagementFunction = {
  ABORT_TASK: 0,
  ABORT_TASK_SET: 1,
  CLEAR_TASK_SET: 2,
  CLEAR_ACA: 3,
  LOGICAL_UNIT_RESET: 4,
  I_T_NEXUS_RESET: 5,
  QUERY_TASK: 6,
  QUERY_TASK_SET: 7,
  QUERY_ASYNCHRONOUS_EVENT: 8,
} as const;
export type TaskManagementFunction = (typeof TaskManagementFunction)[keyof typeof TaskManagementFunction];

export interface TaskManagementRequest {
  readonly function: TaskManagementFunction;
  readonly nexus: Nexus;
  /** Ignored by I_T NEXUS RESET, which concerns every logical unit of the nexus. */
  readonly lun: number;
  /** Of the task that ABORT TASK and QUERY TASK are about. */
  readonly tagHigh: number;
  readonly tagLow: number;
}

/** `additional` is the additional response information of QUERY ASYNCHRONOUS EVENT: 24 bits (SAM-5 7.10). */
export type TaskManagementDone = (response: ServiceResponse, additional: number) => void;

/** Performs a function; calls `done` exactly once, possibly before this returns. */
export function manage(request: TaskManagementRequest, done: TaskManagementDone): void {
  const complete = () => done(ServiceResponse.FUNCTION_COMPLETE, 0);
  const answer = (found: boolean, additional = 0) =>
    done(found ? ServiceResponse.FUNCTION_SUCCEEDED : ServiceResponse.FUNCTION_COMPLETE, additional);
  const { nexus, lun } = request;
  if (request.function === TaskManagementFunction.I_T_NEXUS_RESET) {
    resetNexus(nexus, complete);
    return;
  }
  const itl = nexus.unit(lun);
  if (itl === undefined) {
    done(ServiceResponse.INCORRECT_LOGICAL_UNIT_NUMBER, 0);
    return;
  }
  const { taskSet } = itl.logicalUnit;
  const isNamed = (task: Task) =>
    task.itl === itl && task.tagLow === request.tagLow && task.tagHigh === request.tagHigh;
  const isOwn = (task: Task) => task.itl === itl;
  switch (request.function) {
    case TaskManagementFunction.ABORT_TASK:
      return taskSet.abort(taskSet.filter(isNamed), nexus, complete);
    case TaskManagementFunction.ABORT_TASK_SET:
      return taskSet.abort(taskSet.filter(isOwn), nexus, complete);
    case TaskManagementFunction.CLEAR_TASK_SET:
      return taskSet.clear(
        taskSet.filter((task) => taskSet.shares(task, nexus)),
        nexus,
        complete,
      );
    case TaskManagementFunction.CLEAR_ACA:
      return clearAca(itl, complete);
    case TaskManagementFunction.LOGICAL_UNIT_RESET:
      return resetUnit(itl.logicalUnit, nexus, complete);
    case TaskManagementFunction.QUERY_TASK:
      return answer(taskSet.find(isNamed) !== undefined);
    case TaskManagementFunction.QUERY_TASK_SET:
      return answer(taskSet.find(isOwn) !== undefined);
    case TaskManagementFunction.QUERY_ASYNCHRONOUS_EVENT: {
      const additional = asynchronousEvent(itl);
      return answer(additional !== 0, additional);
    }
    default:
      return done(ServiceResponse.FUNCTION_REJECTED, 0);
  }
}

/** LOGICAL UNIT RESET (SAM-5 6.3.3, 7.7) by the initiator of `by`, or by the target itself. */
function resetUnit(unit: LogicalUnit, by: Nexus | undefined, done: () => void): void {
  const { taskSet } = unit;
  taskSet.abort(
    taskSet.filter(() => true),
    by,
    () => {
      taskSet.clearAllAca();
      // Every initiator hears of it, the one that asked included (SAM-5 6.2).
      unit.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, undefined);
      done();
    },
  );
}

/** Resets every logical unit that `nexus` can see: iSCSI's TARGET WARM RESET. */
export function resetTarget(nexus: Nexus, done: () => void): void {
  const units = new Set([...nexus.itlNexuses()].map((itl) => itl.logicalUnit));
  afterAll(units, (unit, next) => resetUnit(unit, nexus, next), done);
}

/**
 * Ends every task of a nexus, for a fabric whose connection or memory goes away: after `done` none of them is
 * touched any more. The nexus itself stays open.
 */
export function abortNexus(nexus: Nexus, done: () => void): void {
  const abort = (itl: ItlNexus, next: () => void) => {
    const { taskSet } = itl.logicalUnit;
    taskSet.abort(
      taskSet.filter((task) => task.itl === itl),
      nexus,
      next,
    );
  };
  afterAll(new Set(nexus.itlNexusesWithTasks()), abort, done);
}

/**
 * Ends those tasks of a nexus which an ACA condition keeps from starting or from ending (SAM-5 5.9), of which `concerns`
 * says that nobody will be there to clear it.
 */
export function abortBlocked(nexus: Nexus, concerns: (task: Task) => boolean): void {
  for (const itl of nexus.itlNexusesWithTasks()) {
    const { taskSet } = itl.logicalUnit;
    if (!taskSet.aca.active) continue;
    const isBlocked = (task: Task) => task.itl === itl && (task.held || !task.started) && concerns(task);
    taskSet.abort(taskSet.filter(isBlocked), nexus);
  }
}

/** I_T NEXUS RESET (SAM-5 7.6): the initiator loses what it had, and hears of it. */
function resetNexus(nexus: Nexus, done: () => void): void {
  abortNexus(nexus, () => {
    for (const itl of nexus.itlNexuses()) {
      itl.logicalUnit.nexusLost(itl);
      itl.establish(Sense.I_T_NEXUS_LOSS_OCCURRED);
    }
    done();
  });
}

/** CLEAR ACA (SAM-5 7.4): only the faulted nexus can clear its condition; others are told COMPLETE as well. */
function clearAca(itl: ItlNexus, done: () => void): void {
  const { nexus, logicalUnit } = itl;
  const { taskSet } = logicalUnit;
  const acaTask = taskSet.aca.isFaulted(nexus) ? taskSet.acaTask(nexus) : undefined;
  taskSet.abort(acaTask === undefined ? [] : [acaTask], nexus, () => {
    taskSet.clearAca(nexus);
    done();
  });
}

/** UADE DEPTH, sense key, and additional sense code of what is pending; 0 when nothing is (SAM-5 7.10). */
function asynchronousEvent(itl: ItlNexus): number {
  const { unitAttentions } = itl;
  const attention = unitAttentions.peek();
  if (attention === undefined) return 0;
  const depth = unitAttentions.length > 1 ? 2 : 1;
  return (depth << 20) | (attention.key << 16) | attention.code;
}

/** Runs `step` for each item, all at once; `done` follows when every one has called back. */
function afterAll<T>(
  items: ReadonlySet<T>,
  step: (item: T, next: () => void) => void,
  done: () => void,
): void {
  // One more than there are items, so that steps which call back at once cannot end it early.
  let missing = items.size + 1;
  const next = () => {
    if (--missing === 0) done();
  };
  for (const item of items) step(item, next);
  next();
}
