/** Messages that each make sense, in an order or with descriptors that make none: whoever sends them harms nobody else. */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import {
  EMPTY,
  inflight,
  logBase,
  memoryTable,
  singleRegion,
  u64,
  vringAddress,
  vringFd,
  vringState,
} from '../../support/vhost-user/messages.ts';
import { PACKED_START } from '../../support/vhost-user/packed-driver-queue.ts';
import { eventually, type Guest, resources, Served } from '../../support/vhost-user/served.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const REQUESTS = QueueIndex.FIRST_REQUEST;
const packed = USUAL_FEATURES | featureSet(VirtioFeature.RING_PACKED);

const fdsOf = ({ memory }: Guest) => memory.regions.map(({ fd }) => fd);

/** Each leaves the guest with a device that works. */
const harmless: Readonly<Record<string, (guest: Guest, served: Served) => Promise<void>>> = {
  'a ring is stopped twice, and one that never was': async ({ frontEnd, driver, memory }) => {
    const base = await frontEnd.getVringBase(REQUESTS);
    if ((await frontEnd.getVringBase(REQUESTS)) !== base) throw new Error('it moved meanwhile');
    await frontEnd.getVringBase(200);
    await frontEnd.setUpRing(REQUESTS, driver.rings[REQUESTS], memory, base);
  },
  'one descriptor is kick and call of all rings': async ({ frontEnd, driver }) => {
    const fd = addon.eventfd();
    for (let index = 0; index <= REQUESTS; index++) {
      for (const request of [Request.SET_VRING_CALL, Request.SET_VRING_ERR, Request.SET_VRING_KICK])
        await frontEnd.send(request, vringFd(index, true), { fds: [fd] });
    }
    // Nobody tells the driver: it would look for itself.
    void driver.execute(READ);
    addon.signal(fd);
    await sleep(20);
    for (const index of [0, 1, 2]) {
      const { callFd, kickFd } = driver.rings[index];
      await frontEnd.send(Request.SET_VRING_CALL, vringFd(index, true), { fds: [callFd] });
      await frontEnd.kickWith(index, kickFd);
    }
    addon.close(fd);
  },
  'rings are enabled and disabled under load': async ({ frontEnd, driver }) => {
    const reads = Array.from({ length: 100 }, () => driver.execute(READ));
    for (let i = 0; i < 50; i++) await frontEnd.enableRing(REQUESTS, i % 2 === 1);
    await Promise.all(reads);
  },
  'an in-flight buffer is made again and again': async ({ frontEnd }) => {
    const before = resources();
    for (let i = 0; i < 200; i++) {
      const { fds } = await frontEnd.request(Request.GET_INFLIGHT_FD, inflight(0, 0, 256, 1024));
      for (const fd of fds) addon.close(fd);
    }
    if (resources().fds > before.fds + 2) throw new Error('descriptors stay behind');
  },
  'the log is the guest’s own memory': async ({ frontEnd, driver, memory }) => {
    await frontEnd.send(Request.SET_FEATURES, u64(frontEnd.features | (1n << 26n)));
    const place = memory.allocate(1 << 20, 4096);
    const region = memory.regions.find(({ guestAddress, length }) => place < guestAddress + length)!;
    const offset = region.mmapOffset + place - region.guestAddress;
    await frontEnd.request(Request.SET_LOG_BASE, logBase(1 << 20, offset), [memory.fd]);
    await Promise.all(Array.from({ length: 20 }, () => driver.execute(READ)));
    await frontEnd.setFeatures(frontEnd.features);
  },
  'the back-end channel is no socket, or nobody reads it': async ({ frontEnd }, served) => {
    const eventfd = addon.eventfd();
    await frontEnd.send(Request.SET_BACKEND_REQ_FD, EMPTY, { fds: [eventfd] });
    addon.signal(eventfd);
    addon.close(eventfd);
    const channel = await frontEnd.openBackendChannel();
    for (let i = 0; i < 50; i++) served.grow((1 << 20) + i * 512);
    channel.close();
    served.grow(1 << 20);
  },
  'all memory is taken away from running rings, and given back': async (guest) => {
    const { frontEnd, driver, memory } = guest;
    await frontEnd.send(Request.SET_MEM_TABLE, memoryTable([]));
    await frontEnd.send(Request.SET_MEM_TABLE, memoryTable(memory.regions), { fds: fdsOf(guest) });
    for (const [index, ring] of driver.rings.entries()) {
      await frontEnd.setUpRing(index, ring, memory, await frontEnd.getVringBase(index));
    }
  },
  'a device is reset, stopped and reset again, with nothing set up between': async ({ frontEnd, driver }) => {
    void driver.execute(READ);
    await driver.resetDevice();
    const bases = [0, 1, 2].map((index) => frontEnd.getVringBase(index));
    await driver.resetDevice();
    await Promise.all(bases);
    await driver.resetDevice();
    for (const [index, ring] of driver.rings.entries()) {
      await frontEnd.setUpRing(index, ring, driver.memory, (await bases[index]) & 0xffff);
      await frontEnd.enableRing(index);
    }
    await driver.execute(READ);
  },
};

for (const [what, attack] of Object.entries(harmless)) {
  test.serial(`${what}: the device works on`, async (t) => {
    const served = await Served.start();
    const other = await Served.start();
    const [guest, neighbour] = [await served.boot(), await other.boot()];
    await attack(guest, served);
    // Of what happened to it, the unit may have to say something first.
    await guest.driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
    t.is((await guest.driver.execute(READ)).status, Status.GOOD);
    t.is((await neighbour.driver.execute(READ)).status, Status.GOOD);
    await served.close();
    await other.close();
  });
}

for (const size of [0, 3, 0x1_0000, 0xffff_ffff]) {
  test.serial(`a ring of ${size} descriptors breaks its device only`, async (t) => {
    const served = await Served.start();
    const { driver, frontEnd, memory } = await served.boot();
    await driver.stop();
    const ring = driver.rings[REQUESTS];
    await frontEnd.send(Request.SET_VRING_NUM, vringState(REQUESTS, size));
    await frontEnd.kickWith(REQUESTS, ring.kickFd);
    t.regex(served.target.state.frontEnd!.broken!, /ring of/);
    await frontEnd.getVringBase(REQUESTS);
    await frontEnd.setUpRing(REQUESTS, ring, memory, 1);
    t.is(served.target.state.frontEnd!.broken, undefined);
    t.is((await driver.execute(READ)).status, Status.GOOD);
    await served.close();
  });
}

test.serial('the parts of a ring lie over each other, and over its indirect tables', async (t) => {
  for (const features of [USUAL_FEATURES, packed]) {
    const served = await Served.start();
    const guest = await served.boot({ features });
    const { driver, frontEnd, memory } = guest;
    await driver.stop();
    const ring = driver.rings[REQUESTS];
    const place = memory.userAddress(ring.descriptorAddress);
    await frontEnd.send(
      Request.SET_VRING_ADDR,
      vringAddress({ index: REQUESTS, descriptor: place, available: place, used: place }),
    );
    await frontEnd.kickWith(REQUESTS, ring.kickFd);
    for (let i = 0; i < 10; i++) void driver.execute(READ);
    await sleep(20);
    // Whatever that was: the next session has a device.
    guest.leave();
    await served.alone();
    const { driver: next } = await served.boot({ features });
    t.is((await next.execute(READ)).status, Status.GOOD);
    await served.close();
  }
});

for (const features of [USUAL_FEATURES, packed]) {
  const format = features === packed ? 'packed' : 'split';
  test.serial(
    `memory changes while a disk keeps the requests of a dead process waiting, ${format}`,
    async (t) => {
      const served = await Served.start();
      const guest = await served.boot({ features, rings: [], leaveDisabled: true });
      const { driver, frontEnd, memory } = guest;
      const { payload, fds } = await frontEnd.request(Request.GET_INFLIGHT_FD, inflight(0, 0, 3, 128));
      const setUp = async (to: typeof frontEnd, base: number) => {
        await to.send(Request.SET_INFLIGHT_FD, payload, { fds });
        await to.setUpRing(REQUESTS, driver.rings[REQUESTS], memory, base);
        await to.enableRing(REQUESTS);
      };
      await setUp(frontEnd, features === packed ? PACKED_START : 0);
      await driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
      served.backstore.hold = true;
      const reads = Array.from({ length: 5 }, () => driver.execute(READ));
      await eventually(() => served.backstore.held.length === 5);
      frontEnd.close();
      await served.alone();
      const again = served.connect();
      await again.negotiate(features);
      await again.shareMemory(memory);
      await setUp(again, features === packed ? PACKED_START : 0);
      // The first one hears that the nexus was lost.
      await eventually(() => served.backstore.held.length === 4);
      // Three tables, which wait for the disk.
      const changes = [0, 1, 2].map(() =>
        again.send(Request.SET_MEM_TABLE, memoryTable(memory.regions), { fds: fdsOf(guest) }),
      );
      served.backstore.hold = false;
      served.backstore.release();
      await Promise.all(changes);
      const statuses = (await Promise.all(reads)).map(({ status }) => status);
      const { CHECK_CONDITION, GOOD } = Status;
      t.deepEqual(statuses, [CHECK_CONDITION, GOOD, GOOD, GOOD, GOOD]);
      const before = served.target.state.frontEnd!.requests.requests;
      t.is((await driver.execute(READ)).status, Status.GOOD);
      t.is(served.target.state.frontEnd!.requests.requests, before + 1, 'nothing is done again');
      again.close();
      for (const fd of fds) addon.close(fd);
      await served.close();
    },
  );
}

const unwritable: readonly [string, () => number][] = [
  [
    'opened for reading only',
    () => {
      const folder = temporaryFolder();
      const path = join(folder.path, 'memory');
      closeSync(openSync(path, 'w'));
      const fd = openSync(path, 'r');
      folder.remove();
      return fd;
    },
  ],
  ['a directory', () => openSync('/', 'r')],
];
for (const [what, open] of unwritable) {
  test.serial(`memory that is ${what} ends the connection`, async (t) => {
    const served = await Served.start();
    const frontEnd = served.connect();
    await frontEnd.negotiate();
    const fd = open();
    const region = { guestAddress: 0, length: 4096, userAddress: 4096, mmapOffset: 0 };
    await t.throwsAsync(frontEnd.send(Request.ADD_MEM_REG, singleRegion(region), { fds: [fd] }));
    closeSync(fd);
    await served.alone();
    t.is((await (await served.boot()).driver.execute(READ)).status, Status.GOOD);
    await served.close();
  });
}
