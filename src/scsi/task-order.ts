/**
 * Which tasks of a set may run (SAM-5 8.5 and 8.6): the rules of the task attributes as one walk over the list.
 * The list's order is the order of processing.
 */
import type { AutoContingentAllegiance } from './auto-contingent-allegiance.ts';
import { type ControlMode, Tst } from './control-mode.ts';
import type { Nexus } from './nexus.ts';
import { TaskAttribute } from './status-spec.ts';
import type { Task } from './task.ts';

/**
 * QUEUE ALGORITHM MODIFIER 0 (SPC-4 7.5.8): SIMPLE tasks of one I_T nexus must have the effect of their order of
 * arrival. Here: a task that writes and any other one of the same nexus never run at the same time.
 */
export const RESTRICTED_REORDERING = 0;

/** What precedes a task in the part of the list that counts for it. */
class Ahead {
  any = false;
  /** An ORDERED or HEAD OF QUEUE task: nothing SIMPLE passes it. */
  barrier = false;
  /** A task that writes. */
  writer = false;

  add(task: Task): void {
    this.any = true;
    if (task.attribute !== TaskAttribute.SIMPLE) this.barrier = true;
    if (task.row?.writes) this.writer = true;
  }
}

/** The dormant tasks that may run now, in order. */
export function enabledTasks(
  first: Task | undefined,
  control: ControlMode,
  aca: AutoContingentAllegiance,
): Task[] {
  const enabled: Task[] = [];
  const perNexus = control.tst === Tst.SET_PER_NEXUS;
  const restricted = control.queueAlgorithm === RESTRICTED_REORDERING;
  const all = new Ahead();
  const byNexus = new Map<Nexus, Ahead>();
  for (let task = first; task !== undefined; task = task.next) {
    const own = perNexus || restricted ? aheadOf(byNexus, task.nexus!) : all;
    if (!task.started && !aca.blocks(task, control)) {
      const runs = aca.active && aca.exempts(task);
      if (runs || mayRun(task, perNexus ? own : all, restricted ? own : undefined)) enabled.push(task);
    }
    all.add(task);
    if (own !== all) own.add(task);
    // Nothing behind an ORDERED task can run; without this a long queue would be walked for every ended task.
    if (task.attribute === TaskAttribute.ORDERED && !perNexus && !aca.active) break;
  }
  return enabled;
}

/** `own`: the tasks of the same nexus, when their reads and writes must keep their order. */
function mayRun(task: Task, ahead: Ahead, own: Ahead | undefined): boolean {
  switch (task.attribute) {
    case TaskAttribute.SIMPLE:
      if (ahead.barrier) return false;
      return own === undefined || !(own.writer || (own.any && task.row?.writes === true));
    case TaskAttribute.ORDERED:
      return !ahead.any;
    default:
      return true;
  }
}

function aheadOf(byNexus: Map<Nexus, Ahead>, nexus: Nexus): Ahead {
  let ahead = byNexus.get(nexus);
  if (ahead === undefined) {
    ahead = new Ahead();
    byNexus.set(nexus, ahead);
  }
  return ahead;
}
