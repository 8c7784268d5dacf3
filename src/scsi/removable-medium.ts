/** The medium of a unit that can eject it (SBC-3 4.4), and the locks that initiators put on it (SPC-4 6.17). */
import type { BlockDevice } from './block-device.ts';
import type { Nexus } from './nexus.ts';
import { Sense } from './sense-spec.ts';
import { Counter } from './statistics.ts';

const ABSENT = { sense: Sense.MEDIUM_NOT_PRESENT };

export class RemovableMedium {
  private readonly device: BlockDevice;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  get present(): boolean {
    return this.device.notReady !== ABSENT;
  }

  /** Whether any initiator prevents removal. */
  get locked(): boolean {
    for (const itl of this.device.itlNexuses) if (itl.preventsRemoval) return true;
    return false;
  }

  eject(): void {
    this.device.notReady = ABSENT;
  }

  /** `by` knows of it and gets no unit attention. */
  load(by?: Nexus): void {
    if (this.present) return;
    this.device.notReady = undefined;
    this.device.statistics.counts[Counter.LOAD_CYCLES]++;
    this.device.establishForAll(Sense.NOT_READY_TO_READY_CHANGE, by);
  }

  /** Resets take the locks away (SPC-4 6.17). */
  unlock(): void {
    for (const itl of this.device.itlNexuses) itl.preventsRemoval = false;
  }
}
