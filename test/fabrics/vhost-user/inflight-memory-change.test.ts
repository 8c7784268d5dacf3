/** What is tracked in flight stays so when the memory under running rings changes. */
import test from 'ava';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { type FrontEnd, USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { inflight, memoryTable } from '../../support/vhost-user/messages.ts';
import { PACKED_START } from '../../support/vhost-user/packed-driver-queue.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const features = USUAL_FEATURES | (1n << BigInt(VirtioFeature.RING_PACKED));

test('a new memory table under running rings does not end in-flight tracking', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd, memory } = await served.boot({ features, rings: [], leaveDisabled: true });
  const made = await frontEnd.request(Request.GET_INFLIGHT_FD, inflight(0, 0, 3, 128));
  const index = QueueIndex.FIRST_REQUEST;
  const setUp = async (to: FrontEnd) => {
    await to.send(Request.SET_INFLIGHT_FD, made.payload, { fds: made.fds });
    await to.setUpRing(index, driver.rings[index], memory, PACKED_START);
    await to.enableRing(index);
  };
  await setUp(frontEnd);
  await driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
  const fds = memory.regions.map((region) => region.fd);
  await frontEnd.send(Request.SET_MEM_TABLE, memoryTable(memory.regions), { fds });
  served.backstore.hold = true;
  const reads = [0, 1, 2].map((lba) =>
    driver.execute({ cdb: [0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0], dataInLength: 512 }),
  );
  await eventually(() => served.backstore.held.length === 3);
  // The second one is answered, where the first one's descriptor was.
  served.backstore.held.push(served.backstore.held.shift()!);
  served.backstore.release(1);
  t.is((await reads[1]).response, 0);
  frontEnd.close();
  await served.alone();
  served.backstore.hold = false;
  const again = served.connect();
  await again.negotiate(features);
  await again.shareMemory(memory);
  await setUp(again);
  for (const { response } of await Promise.all(reads)) t.is(response, 0);
  again.close();
  for (const fd of made.fds) addon.close(fd);
  await served.close();
});
