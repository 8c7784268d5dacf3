/** Packed rings through a real socket: what split rings do in request-queue.test.ts and session.test.ts. */
import test from 'ava';
import { QueueIndex } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const features = USUAL_FEATURES | (1n << BigInt(VirtioFeature.RING_PACKED));
const withoutEvents = features & ~(1n << BigInt(VirtioFeature.RING_EVENT_IDX));
const read10 = (lba: number) => ({ cdb: [0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0], dataInLength: 512 });
const write10 = (lba: number, fill: number) => ({
  cdb: [0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0],
  dataOut: new Uint8Array(512).fill(fill),
});

for (const indirect of [false, true]) {
  for (const events of [false, true]) {
    // Not a power of two, which packed rings allow; the ring wraps many times.
    test(`data survives many rounds of the ring, indirect ${indirect}, EVENT_IDX ${events}`, async (t) => {
      const served = await Served.start();
      const { driver } = await served.boot({
        features: events ? features : withoutEvents,
        indirect,
        queueSize: 37,
      });
      for (let round = 0; round < 40; round++) {
        const lbas = Array.from({ length: 8 }, (_, i) => i);
        const writes = lbas.map((lba) => driver.execute(write10(lba, (lba + round) & 0xff)));
        for (const { status } of await Promise.all(writes)) t.is(status, Status.GOOD);
        const reads = lbas.map((lba) => driver.execute(read10(lba)));
        for (const [lba, { dataIn }] of (await Promise.all(reads)).entries()) {
          t.is(dataIn[511], (lba + round) & 0xff);
        }
      }
      await served.close();
    });
  }
}

test('a packed ring that stops goes on where it was', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd, memory } = await served.boot({ features, queueSize: 16 });
  for (let i = 0; i < 21; i++) await driver.execute(write10(1, i));
  const index = QueueIndex.FIRST_REQUEST;
  const base = await frontEnd.getVringBase(index);
  const late = driver.execute(read10(1));
  await frontEnd.setUpRing(index, driver.rings[index], memory, base);
  t.is((await late).dataIn[0], 20);
  await served.close();
});

test('events and aborts work on packed rings', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot({ features, eventBuffers: 2 });
  let events = 0;
  driver.onEvent = () => {
    events++;
  };
  served.lunMap.add(1, served.newDisk());
  await eventually(() => events === 1);
  served.lunMap.remove(1);
  served.backstore.hold = true;
  await driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
  const read = driver.execute({ ...read10(0), id: 9 });
  await eventually(() => served.backstore.held.length === 1);
  t.is(await driver.manageTask(0, { id: 9 }), 0);
  t.is((await read).response, 2);
  await served.close();
});
