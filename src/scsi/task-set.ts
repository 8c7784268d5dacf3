/**
 * The tasks of one logical unit and the task manager's rules for them (SAM-5 8): which may run now, what a CHECK
 * CONDITION does to the others, and how tasks are aborted. The list is threaded through the tasks themselves, so
 * a READ among SIMPLE tasks costs two pointer updates.
 *
 * The order of the list is the order of processing: HEAD OF QUEUE and ACA tasks go to its front, all others to
 * its end. Which of them may run is task-order.ts; an ACA condition is auto-contingent-allegiance.ts.
 */
import { AutoContingentAllegiance, requestsAca } from './auto-contingent-allegiance.ts';
import { Qerr, Tst } from './control-mode.ts';
import { begin } from './device-server.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { Nexus } from './nexus.ts';
import { Sense } from './sense-spec.ts';
import { Status, TaskAttribute } from './status-spec.ts';
import { AbortedBy, type Task } from './task.ts';
import { TaskList } from './task-list.ts';
import { enabledTasks, RESTRICTED_REORDERING } from './task-order.ts';

const DEFAULT_LIMIT = 8192;
const { SIMPLE } = TaskAttribute;
const { GOOD } = Status;
const { NOBODY } = AbortedBy;
const RESTRICTED = RESTRICTED_REORDERING;

/** Somebody who waits until certain tasks have ended. */
interface Wait {
  readonly tasks: Set<Task>;
  readonly done: () => void;
}

export class TaskSet extends TaskList {
  readonly logicalUnit: LogicalUnit;
  /** Tasks at most; the next one is answered TASK SET FULL. */
  limit = DEFAULT_LIMIT;
  readonly aca = new AutoContingentAllegiance();
  /** Tasks that are not SIMPLE, dormant tasks, and waits: while 0, whatever arrives may run. */
  private obstacles = 0;
  /** Tasks that are not started. */
  private dormant = 0;
  private waits: Wait[] = [];
  private enabling = false;
  private enableAgain = false;

  constructor(logicalUnit: LogicalUnit) {
    super();
    this.logicalUnit = logicalUnit;
  }

  /** Adds an arriving task and starts it as soon as its attribute allows. */
  accept(task: Task): void {
    if (this.count >= this.limit) {
      const own = this.find((other) => other.nexus === task.nexus);
      this.refuse(task, own === undefined ? Status.BUSY : Status.TASK_SET_FULL);
    } else if (
      this.obstacles !== 0 ||
      task.attribute !== SIMPLE ||
      this.aca.active ||
      this.logicalUnit.control.queueAlgorithm === RESTRICTED
    ) {
      this.acceptInOrder(task);
    } else {
      this.append(task);
      task.started = true;
      begin(task);
    }
  }

  /** Takes the task out, tells its owner, and lets others start. */
  finish(task: Task): void {
    if (this.obstacles !== 0 || task.status !== GOOD || task.abortedBy !== NOBODY || this.aca.active) {
      this.finishInOrder(task);
    } else {
      this.unlink(task);
      task.owner.taskDone(task);
    }
  }

  /**
   * Aborts tasks of this set on behalf of `by` (undefined: the target itself). `done` is called once all of them
   * have ended and nothing touches their memory any more, possibly before this returns.
   */
  abort(tasks: readonly Task[], by: Nexus | undefined, done: () => void = () => {}): void {
    if (tasks.length === 0) done();
    else this.end(this.markAborted(tasks, by, done));
  }

  /** Calls `done` once all of `tasks` have ended, without hurrying them. */
  whenEnded(tasks: readonly Task[], done: () => void): void {
    if (tasks.length === 0) done();
    else this.await(tasks, done);
  }

  /** As `abort`, and tells other initiators without TAS that they lost tasks (SAM-5 5.6, table of conditions). */
  clear(tasks: readonly Task[], by: Nexus | undefined, done?: () => void): void {
    this.announceCleared(tasks, by);
    this.abort(tasks, by, done);
  }

  /** Whether `task` and the tasks of `nexus` are in one task set, as TST says. */
  shares(task: Task, nexus: Nexus): boolean {
    return task.nexus === nexus || this.logicalUnit.control.tst !== Tst.SET_PER_NEXUS;
  }

  /** The task of `nexus` with the ACA attribute; there is at most one. */
  acaTask(nexus: Nexus): Task | undefined {
    return this.find((task) => task.nexus === nexus && task.attribute === TaskAttribute.ACA);
  }

  /** Ends an ACA condition of `nexus` and lets the others go on (SAM-5 5.9.4). */
  clearAca(nexus: Nexus): void {
    if (this.aca.clear(nexus)) this.releaseHeld();
  }

  /** Ends every ACA condition, as a reset does. */
  clearAllAca(): void {
    this.aca.clearAll();
    this.releaseHeld();
  }

  private releaseHeld(): void {
    // One of the released tasks may fail and establish the next condition: look anew each time.
    for (;;) {
      const task = this.find((other) => other.held && !this.aca.blocks(other, this.logicalUnit.control));
      if (task === undefined) break;
      this.release(task);
    }
    this.enable();
  }

  private acceptInOrder(task: Task): void {
    const acaTask = this.aca.active ? this.acaTask(task.nexus!) : undefined;
    const refusal = this.aca.refusal(task, this.logicalUnit.control, acaTask);
    if (refusal !== undefined) {
      this.refuse(task, refusal);
      return;
    }
    if (task.row?.headOfQueue && task.attribute !== TaskAttribute.ACA) {
      task.attribute = TaskAttribute.HEAD_OF_QUEUE;
    }
    if (task.attribute === SIMPLE || task.attribute === TaskAttribute.ORDERED) this.append(task);
    else this.prepend(task);
    if (task.attribute !== SIMPLE) this.obstacles++;
    this.obstacles++;
    this.dormant++;
    if (task.attribute === TaskAttribute.ACA && !this.aca.isFaulted(task.nexus!)) {
      // SAM-5 8.6.5: there is no ACA condition that it could belong to.
      task.fail(Sense.INVALID_MESSAGE_ERROR);
    } else {
      this.enable();
    }
  }

  private finishInOrder(task: Task): void {
    const { control } = this.logicalUnit;
    const aborted = task.abortedBy !== NOBODY;
    if (!aborted && this.aca.blocks(task, control)) {
      task.held = true;
      // Its access is over: for whoever waits for its range, or for it.
      task.blocks = 0;
      for (const wait of this.leaveWaits(task)) wait.done();
      return;
    }
    this.unlink(task);
    if (task.attribute !== SIMPLE) this.obstacles--;
    if (!task.started) this.leaveDormancy();
    const ended = this.waits.length > 0 ? this.leaveWaits(task) : undefined;
    if (aborted) {
      task.status = Status.TASK_ABORTED;
      task.senseLength = 0;
    }
    const { status } = task;
    const nexus = task.nexus!;
    let others: Wait | undefined;
    if (status === Status.CHECK_CONDITION) {
      this.contingentAllegiance(task, nexus);
      others = this.manageErrorQueue(nexus);
    } else {
      task.itl!.ended(status);
    }
    task.owner.taskDone(task);
    if (ended !== undefined) for (const wait of ended) wait.done();
    if (others === undefined) this.enable();
    else this.end(others);
  }

  /** Gives a task that was held back by an ACA condition to its owner. */
  private release(task: Task): void {
    task.held = false;
    this.finishInOrder(task);
  }

  /** What a CHECK CONDITION does to ACA conditions (SAM-5 5.9.2, 5.9.4). */
  private contingentAllegiance(task: Task, nexus: Nexus): void {
    if (requestsAca(task)) this.aca.establish(nexus);
    else if (task.attribute === TaskAttribute.ACA) this.clearAca(nexus);
  }

  /**
   * QERR: aborts the other tasks that a CHECK CONDITION for `nexus` concerns (SPC-4 7.5.8). They are only marked
   * yet: what the initiator sends once it hears of the error must not be among them.
   */
  private manageErrorQueue(nexus: Nexus): Wait | undefined {
    const { qerr } = this.logicalUnit.control;
    if (qerr === Qerr.RESUME_ALL) return undefined;
    const tasks = this.filter((task) =>
      qerr === Qerr.ABORT_OWN ? task.nexus === nexus : this.shares(task, nexus),
    );
    if (tasks.length === 0) return undefined;
    this.announceCleared(tasks, nexus);
    return this.markAborted(tasks, nexus, () => {});
  }

  private announceCleared(tasks: readonly Task[], by: Nexus | undefined): void {
    if (this.logicalUnit.control.tas) return;
    for (const itl of new Set(tasks.map((task) => task.itl!))) {
      if (itl.nexus !== by) itl.establish(Sense.COMMANDS_CLEARED_BY_ANOTHER_INITIATOR);
    }
  }

  /** All are marked before the first one ends: its end may start others, or bring new tasks. */
  private markAborted(tasks: readonly Task[], by: Nexus | undefined, done: () => void): Wait {
    for (const task of tasks) {
      if (task.nexus === by) task.abortedBy = AbortedBy.OWN_NEXUS;
      else if (task.abortedBy === NOBODY) task.abortedBy = AbortedBy.OTHER_NEXUS;
    }
    return this.await(tasks, done);
  }

  /** Brings marked tasks to their end. */
  private end({ tasks }: Wait): void {
    // One walk over the waiting tasks in the end, not one for every task that ends.
    const wasEnabling = this.enabling;
    this.enabling = true;
    try {
      for (const task of [...tasks]) {
        // Ended meanwhile: the object may be another command by now.
        if (!tasks.has(task)) continue;
        if (task.held) this.release(task);
        else if (task.started) task.cancel();
        else task.finish(Status.TASK_ABORTED);
      }
    } finally {
      this.enabling = wasEnabling;
      this.enable();
    }
  }

  /** Ends a task that does not enter the set. */
  private refuse(task: Task, status: Status): void {
    task.itl!.ended(status);
    task.finish(status);
  }

  /** Starts every task that may run. Never nests: a task that ends inside leads to another round. */
  private enable(): void {
    this.enableAgain = true;
    if (this.enabling || this.dormant === 0) return;
    this.enabling = true;
    const defects: unknown[] = [];
    while (this.enableAgain && this.dormant !== 0) {
      this.enableAgain = false;
      const tasks = enabledTasks(this.first, this.logicalUnit.control, this.aca);
      for (const task of tasks) {
        task.started = true;
        this.leaveDormancy();
      }
      for (const task of tasks) {
        // Without a hook for defects `begin` throws: the other tasks must start all the same.
        try {
          begin(task);
        } catch (error) {
          defects.push(error);
        }
      }
    }
    this.enabling = false;
    if (defects.length > 0) throw defects[0];
  }

  private leaveDormancy(): void {
    this.dormant--;
    this.obstacles--;
  }

  private await(tasks: readonly Task[], done: () => void): Wait {
    const wait: Wait = { tasks: new Set(tasks), done };
    this.waits.push(wait);
    this.obstacles++;
    return wait;
  }

  /** Takes an ended task out of all waits; returns those that are over. */
  private leaveWaits(task: Task): Wait[] {
    const ended = this.waits.filter((wait) => wait.tasks.delete(task) && wait.tasks.size === 0);
    if (ended.length > 0) this.waits = this.waits.filter((wait) => !ended.includes(wait));
    this.obstacles -= ended.length;
    return ended;
  }
}
