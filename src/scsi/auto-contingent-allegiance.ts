/**
 * ACA conditions of one logical unit (SAM-5 5.9): after a CHECK CONDITION for a command with NACA set, other
 * commands stand still until the faulted I_T nexus clears the condition. While it lasts, only commands with the
 * ACA attribute from that nexus run.
 */
import { cdbLengthOf } from './command.ts';
import { type ControlMode, Tst } from './control-mode.ts';
import type { Nexus } from './nexus.ts';
import { Status, TaskAttribute } from './status-spec.ts';
import type { Task } from './task.ts';

/** NACA of the CONTROL byte (SAM-5 5.2). */
const NACA = 0x04;
const VARIABLE_LENGTH = 0x7f;
const PERSISTENT_RESERVE_OUT = 0x5f;
const PREEMPT_AND_ABORT = 0x05;

/** Whether the CDB asks for an ACA condition should the command fail. */
export function requestsAca(task: Task): boolean {
  const { cdb } = task;
  // The CONTROL byte is the last one, but byte 1 of a variable-length CDB.
  const at = cdb[0] === VARIABLE_LENGTH ? 1 : cdbLengthOf(cdb) - 1;
  return at > 0 && (cdb[at] & NACA) !== 0;
}

export class AutoContingentAllegiance {
  /** Whether any condition exists: the one thing the path of a READ looks at. */
  active = false;
  private readonly faulted = new Set<Nexus>();

  establish(nexus: Nexus): void {
    this.faulted.add(nexus);
    this.active = true;
  }

  /** Returns false when `nexus` had none. */
  clear(nexus: Nexus): boolean {
    const existed = this.faulted.delete(nexus);
    this.active = this.faulted.size > 0;
    return existed;
  }

  clearAll(): void {
    this.faulted.clear();
    this.active = false;
  }

  isFaulted(nexus: Nexus): boolean {
    return this.faulted.has(nexus);
  }

  /** Runs in spite of the condition: ACA tasks, and the one command that lets others end it (SPC-4 5.12.11.2.6). */
  exempts(task: Task): boolean {
    if (this.faulted.has(task.nexus!)) return task.attribute === TaskAttribute.ACA;
    return task.cdb[0] === PERSISTENT_RESERVE_OUT && (task.cdb[1] & 0x1f) === PREEMPT_AND_ABORT;
  }

  /** Whether a task in the set is in the blocked state: it neither starts nor ends. */
  blocks(task: Task, control: ControlMode): boolean {
    if (!this.active) return false;
    if (control.tst === Tst.SET_PER_NEXUS && !this.faulted.has(task.nexus!)) return false;
    return !this.exempts(task);
  }

  /**
   * The status of an arriving command that the condition keeps out (SAM-5 5.9.3); undefined when it may enter.
   * `acaTask` is the ACA task in the set, of which there is at most one per faulted nexus.
   */
  refusal(task: Task, control: ControlMode, acaTask: Task | undefined): Status | undefined {
    if (!this.blocks(task, control)) {
      const second = task.attribute === TaskAttribute.ACA && acaTask !== undefined;
      return second ? Status.ACA_ACTIVE : undefined;
    }
    return this.faulted.has(task.nexus!) || requestsAca(task) ? Status.ACA_ACTIVE : Status.BUSY;
  }
}
