/** A list of tasks threaded through the tasks themselves: to add or remove one costs two pointer updates. */
import type { Task } from './task.ts';

export class TaskList {
  first: Task | undefined;
  last: Task | undefined;
  count = 0;

  /** The first task, in the list's order, for which `matches` holds. */
  find(matches: (task: Task) => boolean): Task | undefined {
    let task = this.first;
    while (task !== undefined && !matches(task)) task = task.next;
    return task;
  }

  /** All tasks, in the list's order, for which `matches` holds. */
  filter(matches: (task: Task) => boolean): Task[] {
    const tasks: Task[] = [];
    for (let task = this.first; task !== undefined; task = task.next) if (matches(task)) tasks.push(task);
    return tasks;
  }

  protected append(task: Task): void {
    task.previous = this.last;
    task.next = undefined;
    if (this.last === undefined) this.first = task;
    else this.last.next = task;
    this.last = task;
    this.count++;
    task.inTaskSet = true;
  }

  protected prepend(task: Task): void {
    task.next = this.first;
    task.previous = undefined;
    if (this.first === undefined) this.last = task;
    else this.first.previous = task;
    this.first = task;
    this.count++;
    task.inTaskSet = true;
  }

  protected unlink(task: Task): void {
    if (task.previous === undefined) this.first = task.next;
    else task.previous.next = task.next;
    if (task.next === undefined) this.last = task.previous;
    else task.next.previous = task.previous;
    task.next = undefined;
    task.previous = undefined;
    this.count--;
    task.inTaskSet = false;
  }
}
