/**
 * Runs a block command that takes several steps, and ends its task exactly once whatever happens: success,
 * a failed step, an abort meanwhile, or a bug of ours.
 */
import type { BlockDevice } from '../block-device.ts';
import { conclude, Medium, type Verdict } from '../medium.ts';
import type { RangeLock } from '../range-locks.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';

/** Of commands that move no blocks through memory of ours, and of copies: see scratch-budget.ts. */
export const NO_MEMORY = 0;

export type Steps = (medium: Medium) => Promise<Verdict>;

/**
 * An access like READ and WRITE: it waits while somebody holds its range, and holds nothing itself. `memory`: bytes of
 * scratch memory and copies that the steps take at most.
 */
export function runSteps(task: Task, device: BlockDevice, memory: number, steps: Steps): void {
  // Data and protection information are two accesses: nobody may see one without the other.
  if (device.protection.type !== 0 && task.blocks > 0) return runExclusively(task, device, memory, steps);
  device.scratchBudget.enter(task, memory, () => {
    const go = () => void perform(task, device, memory, steps);
    if (device.rangeLocks.held === 0 || !device.rangeLocks.defer(task, go)) go();
  });
}

/** An access that nobody sees half done: it holds the task's range from its first step to its last. */
export function runExclusively(task: Task, device: BlockDevice, memory: number, steps: Steps): void {
  device.scratchBudget.enter(task, memory, () => {
    const go = (lock: RangeLock) => void perform(task, device, memory, steps, lock);
    void device.rangeLocks.acquire(task.lba, task.blocks, task).then(go);
  });
}

async function perform(
  task: Task,
  device: BlockDevice,
  memory: number,
  steps: Steps,
  lock?: RangeLock,
): Promise<void> {
  const medium = new Medium(device, task);
  let verdict: Verdict;
  try {
    verdict = task.aborted ? Status.TASK_ABORTED : (notReady(task, device) ?? (await steps(medium)));
  } catch (error) {
    device.environment.defect?.(error);
    verdict = { code: Sense.INTERNAL_TARGET_FAILURE };
  }
  medium.releaseScratch();
  if (lock !== undefined) device.rangeLocks.release(lock);
  conclude(task, verdict);
  if (device.rangeLocks.held !== 0) device.rangeLocks.ended();
  device.scratchBudget.leave(memory);
}

/** While the task waited, whoever held its range may have left a medium that takes no more commands. */
function notReady(task: Task, device: BlockDevice): Verdict | undefined {
  return device.notReady !== undefined && task.row!.needsReady ? { code: device.notReady.sense } : undefined;
}
