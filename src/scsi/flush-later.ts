/** A flush that no command waits for. */
import type { BlockDevice } from './block-device.ts';
import { Medium } from './medium.ts';

/** Nobody is there to hear of a failure, so the next SYNCHRONIZE CACHE reports it. */
export async function flushLater(device: BlockDevice): Promise<void> {
  device.unreportedFlushFailure = (await new Medium(device).flush()) ?? device.unreportedFlushFailure;
}
