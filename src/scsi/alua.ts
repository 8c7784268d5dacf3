/** Asymmetric logical unit access of one logical unit (SPC-4 5.15). */
import type { BlockDevice } from './block-device.ts';
import type { Task } from './task.ts';

export class AluaAccess {
  readonly device: BlockDevice;
  /** Whether any target port group is not active/optimized: the one thing the path of a READ looks at. */
  restricted = false;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  /** Whether the state of the task's target port group lets its command run; if not, the task has ended. */
  admit(_task: Task): boolean {
    return true;
  }
}
