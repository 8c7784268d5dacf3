/** Queues and logical units do not wait for each other. Counted in requests, not in time. */
import test from 'ava';
import { RamBackstore } from '../../../src/backstores/ram-backstore.ts';
import {
  QueueIndex,
  TaskManagementSubtype,
  VirtioScsiResponse,
} from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { HoldingBackstore } from '../../support/holding-backstore.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const BLOCK = 512;
const MEMORY = [{ guestAddress: 0, length: 32 << 20 }];
const FLOOD = 64;
const LARGE = 128 << 10;

const read = (bytes: number) => ({
  cdb: [0x28, 0, 0, 0, 0, 0, 0, bytes / BLOCK / 256, (bytes / BLOCK) & 0xff, 0],
  dataInLength: bytes,
});

for (const pollMicroseconds of [0, 1000]) {
  test(`a flood of large requests on one queue lets the others through, polling ${pollMicroseconds} µs`, async (t) => {
    const served = await Served.start({ pollMicroseconds });
    const { driver } = await served.boot({ memory: MEMORY, requestQueues: 4, queueSize: 256 });
    let flooded = 0;
    const flood = Array.from({ length: FLOOD }, () =>
      driver.execute({ ...read(LARGE), queue: 0 }).then(() => flooded++),
    );
    const others = [1, 2, 3].map(async (queue) => {
      const { status } = await driver.execute({ ...read(4096), queue });
      t.is(status, Status.GOOD);
      return flooded;
    });
    // Two turns of the event loop, 16 requests each.
    for (const before of await Promise.all(others))
      t.true(before <= FLOOD / 2, `${before} of the flood went first`);
    await Promise.all(flood);
    t.is(flooded, FLOOD);
    await served.close();
  });
}

test('a logical unit that hangs holds up no other, on its own queue neither', async (t) => {
  const served = await Served.start();
  const { shard } = served;
  const ram = new RamBackstore('ram', 1 << 20, shard.engine, shard.memory);
  served.lunMap.add(1, served.newDisk(new HoldingBackstore(ram)));
  const { driver } = await served.boot({ memory: MEMORY, requestQueues: 2 });
  // Both have something to say first: power on, and that the inventory has changed.
  for (const lun of [0, 1, 0, 1]) await driver.execute({ cdb: [0, 0, 0, 0, 0, 0], lun });
  served.backstore.hold = true;
  const stuck = [0, 1].flatMap((queue) =>
    Array.from({ length: 16 }, () => driver.execute({ ...read(4096), queue })),
  );
  for (let i = 0; i < 100; i++) {
    const { status } = await driver.execute({ ...read(4096), lun: 1, queue: i & 1 });
    t.is(status, Status.GOOD);
  }
  t.is(served.backstore.held.length, stuck.length);
  served.backstore.hold = false;
  served.backstore.release();
  shard.engine.run();
  for (const { status } of await Promise.all(stuck)) t.is(status, Status.GOOD);
  await served.close();
  await ram.close();
});

test('what is in flight has a bound, however large the ring: the rest waits there, and nothing is lost', async (t) => {
  const SEGMENTS = 126;
  const REQUESTS = 5000;
  /** See batch.ts: a chain costs its descriptors and 16, all together no more than 2^19. */
  const BOUND = Math.ceil(2 ** 19 / (16 + 2 + SEGMENTS));
  const served = await Served.start();
  const { driver, memory } = await served.boot({ memory: MEMORY, queueSize: 8192 });
  const request = memory.allocate(64);
  memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
  memory.bytes(request, 51).set(read(BLOCK).cdb, 19);
  const response = memory.allocate(128);
  const data = memory.allocate(SEGMENTS * 16);
  const elements = [
    { address: request, length: 51, writable: false },
    { address: response, length: 108, writable: true },
    // With gaps, or they would be one.
    ...Array.from({ length: SEGMENTS }, (_, i) => ({ address: data + i * 16, length: 8, writable: true })),
  ];
  served.backstore.hold = true;
  const all = Array.from({ length: REQUESTS }, () => driver.submit(QueueIndex.FIRST_REQUEST, elements));
  await eventually(() => served.backstore.held.length >= BOUND);
  t.is(await driver.manageTask(TaskManagementSubtype.QUERY_TASK_SET), VirtioScsiResponse.FUNCTION_SUCCEEDED);
  t.is(served.backstore.held.length, BOUND);
  served.backstore.release(1);
  served.shard.engine.run();
  await eventually(() => served.backstore.held.length === BOUND);
  served.backstore.hold = false;
  served.backstore.release();
  served.shard.engine.run();
  t.is((await Promise.all(all)).length, REQUESTS);
  await served.close();
});
