/** A connected device with rings made for load: what a generator needs before it can spin. */
import { hasFeature } from '../src/fabrics/vhost-user/feature-set.ts';
import { VirtioFeature } from '../src/fabrics/vhost-user/virtio-spec.ts';
import { DriverQueue } from '../test/support/vhost-user/driver-queue.ts';
import { FrontEnd } from '../test/support/vhost-user/front-end.ts';
import { GuestMemory } from '../test/support/vhost-user/guest-memory.ts';
import { VirtioScsiDriver } from '../test/support/vhost-user/virtio-scsi-driver.ts';
import { LoadQueue } from './load-queue.ts';
import type { Pattern } from './pattern.ts';
import { BLK_FORMAT, SCSI_FORMAT } from './request-format.ts';

const MEBIBYTE = 1 << 20;
/** For rings, headers and responses. */
const MEMORY_BESIDES_DATA = 16 * MEBIBYTE;
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];

export interface LoadDeviceOptions {
  readonly socket: string;
  readonly device: 'scsi' | 'blk';
  readonly pattern: Pattern;
  /** Request queues. */
  readonly queues: number;
  /** Requests in flight in each queue. */
  readonly depth: number;
  /** Requests use indirect descriptor tables, where the target can. */
  readonly indirect: boolean;
}

export interface LoadDevice {
  readonly queues: readonly LoadQueue[];
  /** Stops the rings and disconnects; nothing may be in flight. */
  close(): Promise<void>;
}

export async function openLoadDevice(options: LoadDeviceOptions): Promise<LoadDevice> {
  const { pattern, depth: slots } = options;
  const format = options.device === 'blk' ? BLK_FORMAT : SCSI_FORMAT;
  const dataBytes = pattern.requestBytes * slots * options.queues;
  const length = MEMORY_BESIDES_DATA + Math.ceil(dataBytes / MEBIBYTE) * MEBIBYTE;
  const memory = new GuestMemory([{ guestAddress: 0, length }]);
  const frontEnd = FrontEnd.connect(options.socket);
  await frontEnd.negotiate();
  await frontEnd.shareMemory(memory);
  if (options.device === 'scsi') await clearUnitAttention(frontEnd, memory);
  const eventIdx = hasFeature(frontEnd.features, VirtioFeature.RING_EVENT_IDX);
  const indirect = options.indirect && hasFeature(frontEnd.features, VirtioFeature.RING_INDIRECT_DESC);
  // The control and event queues, as a guest has them; nothing is ever put there.
  const others = Array.from({ length: format.firstQueue }, () => new DriverQueue(memory, { eventIdx }));
  const queues = Array.from(
    { length: options.queues },
    () => new LoadQueue(memory, { slots, pattern, format, eventIdx, indirect }),
  );
  const rings = [...others, ...queues];
  for (const [index, ring] of rings.entries()) await frontEnd.setUpRing(index, ring, memory);
  for (const index of rings.keys()) await frontEnd.enableRing(index);
  return {
    queues,
    async close() {
      for (const index of rings.keys()) await frontEnd.getVringBase(index);
      frontEnd.close();
      for (const ring of rings) ring.close();
      memory.close();
    },
  };
}

/** A new initiator's first command ends with a unit attention (SAM-5 5.14); none of the load shall. */
async function clearUnitAttention(frontEnd: FrontEnd, memory: GuestMemory): Promise<void> {
  const driver = await VirtioScsiDriver.start(frontEnd, memory);
  await driver.execute({ cdb: TEST_UNIT_READY });
  await driver.stop();
  driver.close();
}
