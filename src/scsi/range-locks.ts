/**
 * Atomicity over a range of blocks: COMPARE AND WRITE, ORWRITE, WRITE ATOMIC and friends lock their blocks
 * against every other medium access that overlaps.
 */
import type { BlockDevice } from './block-device.ts';

export class RangeLocks {
  readonly device: BlockDevice;
  /** Number of locks held: the one thing the path of a READ looks at. */
  held = 0;

  constructor(device: BlockDevice) {
    this.device = device;
  }
}
