/**
 * The tasks of one logical unit, in order of arrival (SAM-5 8): which may run now, and what an abort reaches.
 * The list is threaded through the tasks themselves, so a READ costs two pointer updates.
 */
import type { LogicalUnit } from './logical-unit.ts';
import type { Task } from './task.ts';

export class TaskSet {
  readonly logicalUnit: LogicalUnit;
  first: Task | undefined;
  last: Task | undefined;
  count = 0;

  constructor(logicalUnit: LogicalUnit) {
    this.logicalUnit = logicalUnit;
  }

  /** Adds an arriving task and starts it as soon as its attribute allows. */
  accept(task: Task): void {
    task.previous = this.last;
    task.next = undefined;
    if (this.last === undefined) this.first = task;
    else this.last.next = task;
    this.last = task;
    this.count++;
    task.inTaskSet = true;
    this.start(task);
  }

  /** Takes the task out, tells its owner, and lets others start. */
  finish(task: Task): void {
    if (task.previous === undefined) this.first = task.next;
    else task.previous.next = task.next;
    if (task.next === undefined) this.last = task.previous;
    else task.next.previous = task.previous;
    task.next = undefined;
    task.previous = undefined;
    this.count--;
    task.inTaskSet = false;
    task.owner.taskDone(task);
  }

  private start(task: Task): void {
    task.started = true;
    if (this.logicalUnit.admit(task)) task.row!.handler(task);
  }
}
