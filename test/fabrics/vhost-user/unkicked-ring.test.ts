/** Rings that are to be polled: SET_VRING_KICK without a descriptor, and a driver that tells nobody. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import { type SilentRing, UnkickedRing } from '../../../src/fabrics/vhost-user/unkicked-ring.ts';
import {
  QueueIndex,
  TaskManagementSubtype,
  VirtioScsiResponse,
} from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const REQUESTS = QueueIndex.FIRST_REQUEST;
/** Longer than a ring is expected to be quick, so that a timer looks at it. */
const QUIET = 30;

const split = USUAL_FEATURES;
const packed = USUAL_FEATURES | featureSet(VirtioFeature.RING_PACKED);
const events = featureSet(VirtioFeature.RING_EVENT_IDX);
const formats: Readonly<Record<string, bigint>> = {
  split,
  'split, without EVENT_IDX': split & ~events,
  packed,
  'packed, without EVENT_IDX': packed & ~events,
};

for (const [format, features] of Object.entries(formats)) {
  test(`requests, functions and events of a driver that never kicks are seen, ${format}`, async (t) => {
    const served = await Served.start();
    const { driver } = await served.boot({ features, polled: true, eventBuffers: 2 });
    const told: number[] = [];
    driver.onEvent = (event) => told.push(event[0]);
    for (let round = 0; round < 3; round++) {
      const reads = await Promise.all(Array.from({ length: 40 }, () => driver.execute(READ)));
      t.true(reads.every(({ status }) => status === Status.GOOD));
      await sleep(QUIET);
    }
    const { LOGICAL_UNIT_RESET } = TaskManagementSubtype;
    t.is(await driver.manageTask(LOGICAL_UNIT_RESET), VirtioScsiResponse.OK);
    for (let lun = 1; lun <= 5; lun++) {
      served.lunMap.add(lun, served.newDisk());
      await eventually(() => told.length === lun);
      await sleep(QUIET);
    }
    await served.close();
  });

  test(`a ring goes from kicks to polling and back while it runs, ${format}`, async (t) => {
    const served = await Served.start();
    const { driver, frontEnd } = await served.boot({ features });
    const kickFd = driver.rings[REQUESTS].kickFd;
    for (let round = 0; round < 4; round++) {
      driver.kicks = round % 2 === 1;
      await frontEnd.kickWith(REQUESTS, driver.kicks ? kickFd : undefined);
      await sleep(QUIET);
      t.is((await driver.execute(READ)).status, Status.GOOD);
    }
    await served.close();
  });
}

test('a polled ring that stops goes on where it was', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd, memory } = await served.boot({ polled: true });
  served.backstore.hold = true;
  const read = driver.execute(READ);
  await eventually(() => served.backstore.held.length === 1);
  const stopped = frontEnd.getVringBase(REQUESTS);
  served.backstore.hold = false;
  served.backstore.release();
  const base = await stopped;
  t.is((await read).status, Status.GOOD);
  const next = driver.execute(READ);
  let seen = false;
  void next.then(() => {
    seen = true;
  });
  await sleep(QUIET);
  t.false(seen, 'a stopped ring is left alone');
  await frontEnd.setUpRing(REQUESTS, driver.rings[REQUESTS], memory, base, true);
  t.is((await next).status, Status.GOOD);
  await served.close();
});

test('a polled ring waits while it is disabled', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd } = await served.boot({ polled: true });
  await frontEnd.enableRing(REQUESTS, false);
  const read = driver.execute(READ);
  let seen = false;
  void read.then(() => {
    seen = true;
  });
  await sleep(QUIET);
  t.false(seen);
  await frontEnd.enableRing(REQUESTS);
  t.is((await read).status, Status.GOOD);
  await served.close();
});

test('a new memory table is nothing to a polled ring', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd, memory } = await served.boot({ polled: true, slots: false });
  for (let round = 0; round < 5; round++) {
    const reads = Array.from({ length: 20 }, () => driver.execute(READ));
    await frontEnd.shareMemory(memory, false);
    for (const { status } of await Promise.all(reads)) t.is(status, Status.GOOD);
  }
  await served.close();
});

/** Counts who looks. */
class CountingRing implements SilentRing {
  looks = 0;
  takes = true;
  /** Its driver has something each time. */
  lively = false;
  readonly unkicked = new UnkickedRing(this);

  get ready(): boolean {
    this.looks++;
    if (this.lively) this.unkicked.worked();
    return false;
  }

  process(): void {
    if (this.takes) this.unkicked.awaken();
  }
}

test.serial('a ring with something a moment ago is looked at all the time, then with a timer', async (t) => {
  const ring = new CountingRing();
  t.teardown(() => ring.unkicked.stop());
  ring.process();
  await eventually(() => ring.looks > 10);
  const looksPerMillisecond = async () => {
    const { looks } = ring;
    const start = performance.now();
    await sleep(200);
    return (ring.looks - looks) / (performance.now() - start);
  };
  const idle = await looksPerMillisecond();
  t.true(idle < 1.5);
  ring.lively = true;
  t.true((await looksPerMillisecond()) > 3 * idle, 'no timer is that quick');
});

test.serial('nobody looks at a ring that takes nothing, until it does again', async (t) => {
  const ring = new CountingRing();
  t.teardown(() => ring.unkicked.stop());
  ring.process();
  ring.takes = false;
  await eventually(() => ring.looks === 1);
  await sleep(QUIET);
  t.is(ring.looks, 1);
  ring.takes = true;
  ring.process();
  await eventually(() => ring.looks > 2);
});
