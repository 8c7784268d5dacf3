/** Rings that start, stop, are enabled and disabled, each by itself. */
import test from 'ava';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex, VirtioScsiResponse } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { vringFd } from '../../support/vhost-user/messages.ts';
import { eventually, Served, senseCode } from '../../support/vhost-user/served.ts';

const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };
const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };

test('firmware may set up one request queue only, and enable rings that it never set up', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd } = await served.boot({ rings: [QueueIndex.FIRST_REQUEST] });
  t.is((await driver.execute(READ)).status, Status.GOOD);
  t.is(await frontEnd.getVringBase(QueueIndex.CONTROL), 0);
  await served.close();
});

test('a disabled ring waits', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd } = await served.boot({ leaveDisabled: true });
  let answered = false;
  const result = driver.execute(TEST_UNIT_READY).finally(() => {
    answered = true;
  });
  await frontEnd.getFeatures();
  t.false(answered);
  await frontEnd.enableRing(QueueIndex.FIRST_REQUEST);
  await result;
  await served.close();
});

test('without protocol features a ring runs from its start', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot({ features: 1n << 32n, slots: false });
  t.is((await driver.execute(READ)).status, Status.GOOD);
  await served.close();
});

test('all 256 rings and all 509 memory slots work, to the last', async (t) => {
  const served = await Served.start();
  const slot = 0x10000;
  const memory = Array.from({ length: 509 }, (_, i) => ({ guestAddress: 2 * i * slot, length: slot }));
  const guest = await served.boot({ memory, requestQueues: 254, queueSize: 8 });
  const { driver } = guest;
  t.is(driver.rings.length, 256);
  const answers = Array.from({ length: 254 }, (_, queue) => driver.execute({ ...READ, queue }));
  for (const answer of answers) t.is((await answer).status, Status.GOOD);
  const [header, response] = [guest.memory.allocate(64), guest.memory.allocate(128)];
  guest.memory.bytes(header, 51).fill(0).set([1, 0, 0x40, 0]);
  guest.memory.bytes(header, 51).set(READ.cdb, 19);
  for (const { guestAddress } of memory) {
    // The last block of each slot.
    const data = guestAddress + slot - 512;
    guest.memory.bytes(data, 512).fill(0xa5);
    await driver.submit(255, [
      { address: header, length: 51, writable: false },
      { address: response, length: 108, writable: true },
      { address: data, length: 512, writable: true },
    ]);
    t.true(guest.memory.bytes(data, 512).every((byte) => byte === 0));
  }
  await served.close();
});

test('rings that run are enabled when protocol features are given up', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd } = await served.boot({ leaveDisabled: true, powerOn: true });
  const waiting = driver.execute(READ);
  await frontEnd.getQueueNum();
  t.is(served.target.state.frontEnd!.requests.requests, 0);
  await frontEnd.setFeatures(1n << BigInt(VirtioFeature.VERSION_1));
  t.is(senseCode((await waiting).sense), 0x2900);
  await served.close();
});

test('a ring that starts calls its driver, and so does one that runs when it gets a new call descriptor', async (t) => {
  const served = await Served.start();
  const { frontEnd } = await served.boot();
  const callFd = addon.eventfd();
  await frontEnd.send(Request.SET_VRING_CALL, vringFd(QueueIndex.FIRST_REQUEST, true), { fds: [callFd] });
  t.is(addon.drain(callFd), 1);
  await frontEnd.getVringBase(QueueIndex.FIRST_REQUEST);
  await frontEnd.send(Request.SET_VRING_CALL, vringFd(QueueIndex.FIRST_REQUEST, true), { fds: [callFd] });
  t.is(addon.drain(callFd), 0, 'a stopped ring signals nobody');
  const kickFd = addon.eventfd();
  await frontEnd.send(Request.SET_VRING_KICK, vringFd(QueueIndex.FIRST_REQUEST, true), { fds: [kickFd] });
  t.is(addon.drain(callFd), 1, 'who served it before may have died with its last signal unsent');
  addon.close(kickFd);
  addon.close(callFd);
  await served.close();
});

test('a ring that stops waits for its requests, and goes on where it was', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd, memory } = await served.boot();
  served.backstore.hold = true;
  const read = driver.execute(READ);
  await eventually(() => served.backstore.held.length === 1);
  let stopped = false;
  const stop = frontEnd.getVringBase(QueueIndex.FIRST_REQUEST).then((base) => {
    stopped = true;
    return base;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.false(stopped);
  served.backstore.hold = false;
  served.backstore.release();
  const base = await stop;
  t.is((await read).status, Status.GOOD);
  t.is(base, 2);
  // A request that is made available while the ring stands still is seen when it starts again.
  const late = driver.execute(READ);
  await frontEnd.setUpRing(QueueIndex.FIRST_REQUEST, driver.queues[QueueIndex.FIRST_REQUEST], memory, base);
  t.is((await late).status, Status.GOOD);
  await served.close();
});

test('a ring stops although an ACA condition keeps its requests from ending, which nobody will clear', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd } = await served.boot();
  served.backstore.hold = true;
  const read = driver.execute(READ);
  await eventually(() => served.backstore.held.length === 1);
  const NACA = 0x04;
  const failed = await driver.execute({ cdb: [0x28, 0, 0x7f, 0, 0, 0, 0, 0, 1, NACA], dataInLength: 512 });
  t.is(failed.status, Status.CHECK_CONDITION);
  served.backstore.hold = false;
  served.backstore.release();
  const start = performance.now();
  await frontEnd.getVringBase(QueueIndex.FIRST_REQUEST);
  t.true(performance.now() - start < 8000, 'sooner than what merely takes its time');
  t.is((await read).response, VirtioScsiResponse.ABORTED);
  await served.close();
});
