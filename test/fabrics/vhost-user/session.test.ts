import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex, VirtioScsiResponse } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { ConnectionClosed, USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { GuestMemory } from '../../support/vhost-user/guest-memory.ts';
import { inflight, memoryTable, singleRegion, vringFd } from '../../support/vhost-user/messages.ts';
import { eventually, resources, Served, senseCode } from '../../support/vhost-user/served.ts';
import { VirtioScsiDriver } from '../../support/vhost-user/virtio-scsi-driver.ts';

const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };
const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const WRITE = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512).fill(0x5a) };

test('the socket is for its owner only', async (t) => {
  const served = await Served.start();
  t.is(statSync(served.socketPath).mode & 0o777, 0o600);
  await served.close();
});

test('a socket that a dead process left behind is taken over', async (t) => {
  const first = await Served.start();
  const other = join(first.socketPath, '..', 'stale.sock');
  addon.close(addon.unixListen(other, 1));
  const second = await Served.start({ socketPath: other });
  const frontEnd = second.connect();
  t.truthy(frontEnd);
  frontEnd.close();
  await second.close();
  await first.close();
});

test('a socket that somebody listens on is refused, and the holder is named', async (t) => {
  const served = await Served.start();
  const error = await t.throwsAsync(Served.start({ socketPath: served.socketPath }), {
    code: 'EADDRINUSE',
  });
  t.regex(error.message, new RegExp(`process ${process.pid} `));
  await served.close();
});

test('a file that is no socket is left alone', async (t) => {
  const served = await Served.start();
  const path = join(served.socketPath, '..', 'file');
  writeFileSync(path, 'precious');
  await t.throwsAsync(Served.start({ socketPath: path }), { code: 'EADDRINUSE' });
  t.is(statSync(path).size, 8);
  await served.close();
});

test('a request whose front-end is gone is answered to nobody: no byte of its ring or its answer changes', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd, memory } = await served.boot();
  const request = memory.allocate(64);
  const response = memory.allocate(128);
  memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
  memory.bytes(request, 51).set(READ.cdb, 19);
  memory.bytes(response, 108).fill(0xa5);
  served.backstore.hold = true;
  // What runs cannot be stopped, and ends after the connection has.
  served.backstore.cancellable = false;
  void driver
    .submit(QueueIndex.FIRST_REQUEST, [
      { address: request, length: 51, writable: false },
      { address: response, length: 108, writable: true },
      { address: memory.allocate(512), length: 512, writable: true },
    ])
    .catch(() => {});
  await eventually(() => served.backstore.held.length === 1);
  const { usedAddress } = driver.queues[QueueIndex.FIRST_REQUEST];
  const ring = memory.bytes(usedAddress, 4 + 8 * 128);
  const before = ring.slice();
  frontEnd.close();
  await eventually(() => served.disk.taskSet.first?.aborted === true);
  served.backstore.hold = false;
  served.backstore.release();
  await served.alone();
  t.deepEqual(ring, before);
  t.true(memory.bytes(response, 108).every((byte) => byte === 0xa5));
  await served.close();
});

test('a second front-end is refused while the first one is served', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  const second = served.connect();
  await second.closed;
  t.is((await driver.execute(TEST_UNIT_READY)).status, Status.GOOD);
  t.true(served.log.some((line) => line.includes('a second front-end was refused')));
  await served.close();
});

test('a front-end that comes while the old one goes is served', async (t) => {
  const served = await Served.start();
  const { leave } = await served.boot();
  const next = served.connect();
  leave();
  t.truthy(await next.getFeatures());
  next.close();
  await served.close();
});

test('a nexus that comes back hears of its loss', async (t) => {
  const served = await Served.start();
  const first = await served.boot();
  first.leave();
  await served.alone();
  const { driver } = await served.boot({ powerOn: true });
  const result = await driver.execute(TEST_UNIT_READY);
  t.is(senseCode(result.sense), 0x2907);
  await served.close();
});

test('a reset brings the device to its start, and tells the nexus', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd, memory } = await served.boot();
  await driver.stop();
  await driver.resetDevice();
  driver.close();
  const again = await VirtioScsiDriver.start(frontEnd, memory);
  t.is(senseCode((await again.execute(TEST_UNIT_READY)).sense), 0x2907);
  t.is((await again.execute(READ)).status, Status.GOOD);
  again.close();
  await served.close();
});

for (const slots of [true, false]) {
  test.serial(
    `a session starts anew on the connection of the last, whose memory ${slots ? 'slots' : 'table'} nobody took back`,
    async (t) => {
      const served = await Served.start();
      const { driver, frontEnd, memory } = await served.boot({ slots });
      await frontEnd.openBackendChannel();
      const shared = resources().mappings;
      await driver.stop();
      driver.close();
      // QEMU: device_del, and device_add of the same chardev.
      for (let session = 0; session < 8; session++) {
        await frontEnd.negotiate();
        await frontEnd.shareMemory(memory, slots);
      }
      // The kernel makes one mapping of neighbours, or not.
      t.true(resources().mappings < shared + 8);
      const again = await VirtioScsiDriver.start(frontEnd, memory);
      t.is(senseCode((await again.execute(TEST_UNIT_READY)).sense), 0x2907);
      t.is((await again.execute(READ)).status, Status.GOOD);
      again.close();
      await served.close();
    },
  );
}

test('a session that starts while requests run ends them first', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd } = await served.boot();
  served.backstore.hold = true;
  void driver.execute(READ).catch(() => {});
  await eventually(() => served.backstore.held.length === 1);
  const begun = frontEnd.send(Request.SET_OWNER);
  served.backstore.release();
  await begun;
  // Its rings have no addresses any more.
  await t.throwsAsync(
    frontEnd.send(Request.SET_VRING_KICK, vringFd(QueueIndex.FIRST_REQUEST, true), {
      fds: [driver.rings[QueueIndex.FIRST_REQUEST].kickFd],
    }),
  );
  await served.close();
});

for (const packed of [false, true]) {
  test(`a reset empties the in-flight buffer, which the front-end may keep, of ${packed ? 'packed' : 'split'} rings`, async (t) => {
    const served = await Served.start();
    const features = packed ? USUAL_FEATURES | featureSet(VirtioFeature.RING_PACKED) : USUAL_FEATURES;
    const { driver, frontEnd, memory } = await served.boot({ features });
    await driver.stop();
    driver.close();
    const { payload, fds } = await frontEnd.request(Request.GET_INFLIGHT_FD, inflight(0, 0, 3, 128));
    await frontEnd.send(Request.SET_INFLIGHT_FD, payload, { fds });
    for (let start = 0; start < 3; start++) {
      await frontEnd.send(Request.RESET_DEVICE);
      await frontEnd.setFeatures(frontEnd.features);
      const again = await VirtioScsiDriver.start(frontEnd, memory);
      t.is(senseCode((await again.execute(TEST_UNIT_READY)).sense), 0x2907);
      t.is((await again.execute(READ)).status, Status.GOOD);
      await again.stop();
      again.close();
    }
    for (const fd of fds) addon.close(fd);
    await served.close();
  });
}

test('a reset while requests run ends them all first', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  served.backstore.hold = true;
  const reads = [driver.execute(READ), driver.execute(READ)];
  await eventually(() => served.backstore.held.length === 2);
  let done = false;
  const reset = driver.resetDevice().then(() => {
    done = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.false(done);
  served.backstore.release();
  await reset;
  for (const { status } of await Promise.all(reads)) t.is(status, Status.GOOD);
  await served.close();
});

for (const slots of [true, false]) {
  test(`memory may change under load, ${slots ? 'by slots' : 'as a whole table'}`, async (t) => {
    const served = await Served.start();
    const { driver, frontEnd, memory } = await served.boot({ slots });
    served.backstore.hold = true;
    const read = driver.execute(READ);
    await eventually(() => served.backstore.held.length === 1);
    const more = new GuestMemory([{ guestAddress: 0x2_0000_0000, length: 1 << 20 }]);
    const [extra] = more.regions;
    const change = slots
      ? frontEnd.send(Request.ADD_MEM_REG, singleRegion(extra), { fds: [extra.fd] })
      : frontEnd.send(Request.SET_MEM_TABLE, memoryTable([...memory.regions, extra]), {
          fds: [...memory.regions, extra].map(({ fd }) => fd),
        });
    await new Promise((resolve) => setTimeout(resolve, 20));
    served.backstore.hold = false;
    served.backstore.release();
    await change;
    t.is((await read).status, Status.GOOD);
    const requests = Promise.all(Array.from({ length: 32 }, () => driver.execute(WRITE)));
    if (slots) {
      const buffer = more.allocate(512);
      await frontEnd.send(Request.REM_MEM_REG, singleRegion(extra));
      const request = memory.allocate(64);
      const response = memory.allocate(128);
      memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
      memory.bytes(request, 51).set(READ.cdb, 19);
      await driver.submit(QueueIndex.FIRST_REQUEST, [
        { address: request, length: 51, writable: false },
        { address: response, length: 108, writable: true },
        { address: buffer, length: 512, writable: true },
      ]);
      t.is(memory.bytes(response, 12)[11], VirtioScsiResponse.FAILURE);
    }
    for (const { status } of await requests) t.is(status, Status.GOOD);
    await served.close();
    more.close();
  });
}

test('a front-end that leaves while requests run is waited for, and then forgotten', async (t) => {
  const served = await Served.start();
  const guest = await served.boot();
  served.backstore.hold = true;
  served.backstore.cancellable = false;
  void guest.driver.execute(WRITE);
  void guest.driver.execute(READ);
  await eventually(() => served.backstore.held.length === 2);
  guest.driver.close();
  guest.frontEnd.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.truthy(served.target.state.frontEnd, 'the memory is still in use');
  served.backstore.release();
  await served.alone();
  served.backstore.hold = false;
  const { driver } = await served.boot();
  t.is((await driver.execute(READ)).status, Status.GOOD);
  await served.close();
});

test('the state says who is connected and what was done', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd } = await served.boot();
  await driver.execute(READ);
  const { frontEnd: state, connects } = served.target.state;
  t.is(connects, 1);
  t.is(state!.pid, process.pid);
  t.is(BigInt(state!.features), frontEnd.features);
  t.is(state!.requests.requests, 2);
  const ring = state!.rings[QueueIndex.FIRST_REQUEST];
  t.true(ring.started && ring.enabled);
  t.is(ring.completed, 2);
  t.is(ring.inFlight, 0);
  await served.close();
  t.is(served.target.state.lastDisconnect, 'lunport stops');
});

test('an end of ours answers what runs first', async (t) => {
  const served = await Served.start();
  const { driver, frontEnd } = await served.boot();
  served.backstore.hold = true;
  const read = driver.execute(READ);
  await eventually(() => served.backstore.held.length === 1);
  const closed = served.target.close();
  served.backstore.release();
  t.is((await read).status, Status.GOOD);
  await closed;
  await t.throwsAsync(frontEnd.getFeatures(), { instanceOf: ConnectionClosed });
  await served.close();
});
