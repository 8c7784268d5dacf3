/** Reservations of one logical unit: persistent (SPC-4 5.12) and the older RESERVE/RELEASE (SPC-2 5.5). */
import type { BlockDevice } from './block-device.ts';
import type { Nexus } from './nexus.ts';
import type { Task } from './task.ts';

export class Reservations {
  readonly device: BlockDevice;
  /** Whether any reservation exists: the one thing the path of a READ looks at. */
  held = false;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  /** Whether the command of `task` may run beside the reservation that is held. */
  allows(_task: Task): boolean {
    return true;
  }

  /** I_T nexus loss releases the SPC-2 reservation of that nexus. */
  nexusLost(_nexus: Nexus): void {}

  /** LOGICAL UNIT RESET releases SPC-2 reservations; persistent ones stay (SPC-4 5.12.1). */
  reset(): void {}
}
