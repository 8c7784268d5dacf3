/** A driver that changes what it has handed over, while the device works on it. */
import test from 'ava';
import { QueueIndex } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };

for (const indirect of [false, true]) {
  test(`what a driver rewrites after its request was taken changes nothing, indirect ${indirect}`, async (t) => {
    const served = await Served.start();
    const { driver, memory } = await served.boot({ indirect });
    const request = memory.allocate(64);
    const response = memory.allocate(128);
    const data = memory.allocate(512);
    const elsewhere = memory.allocate(4096);
    memory.bytes(elsewhere, 4096).fill(0xe1);
    memory.bytes(data, 512).fill(0xd2);
    memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
    memory.bytes(request, 51).set([0x2a, 0, 0, 0, 0, 3, 0, 0, 1, 0], 19);
    served.backstore.hold = true;
    const done = driver.submit(QueueIndex.FIRST_REQUEST, [
      { address: request, length: 51, writable: false },
      { address: data, length: 512, writable: false },
      { address: response, length: 108, writable: true },
    ]);
    await eventually(() => served.backstore.held.length > 0);
    // Every descriptor now leads elsewhere, and the request is another one.
    const queue = driver.queues[QueueIndex.FIRST_REQUEST];
    const table = memory.view(queue.descriptorAddress, 16 * queue.size);
    for (let i = 0; i < queue.size; i++) table.setBigUint64(16 * i, BigInt(elsewhere), true);
    memory.bytes(request, 51).fill(0xff);
    served.backstore.hold = false;
    served.backstore.release();
    await done;
    t.deepEqual([...memory.bytes(response, 12).slice(10)], [Status.GOOD, 0]);
    t.true(memory.bytes(elsewhere, 4096).every((byte) => byte === 0xe1));
    await served.close();
  });
}

test('data that is read into its own ring harms its own device at most', async (t) => {
  const served = await Served.start();
  const bystander = await Served.start();
  const other = await bystander.boot();
  const { driver, memory } = await served.boot({ indirect: false });
  const queue = driver.queues[QueueIndex.FIRST_REQUEST];
  const request = memory.allocate(64);
  const response = memory.allocate(128);
  memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
  memory.bytes(request, 51).set([0x28, 0, 0, 0, 0, 0, 0, 0, 4, 0], 19);
  for (const address of [queue.usedAddress, queue.availableAddress, queue.descriptorAddress]) {
    // Nobody may ever hear of its end: the ring is zeroes then.
    void driver.submit(QueueIndex.FIRST_REQUEST, [
      { address: request, length: 51, writable: false },
      { address: response, length: 108, writable: true },
      { address, length: 512, writable: true },
    ]);
    t.is((await other.driver.execute(READ)).status, Status.GOOD);
  }
  const next = served.target.state;
  t.truthy(next.frontEnd);
  await served.close();
  await bystander.close();
});
