/** Rings whose content or place is wrong: the device stops until it is reset, and the connection goes on. */
import test from 'ava';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex, VirtioScsiResponse } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { vringAddress, vringFd } from '../../support/vhost-user/messages.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';
import { VirtioScsiDriver } from '../../support/vhost-user/virtio-scsi-driver.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const PAGE = 4096;

test.serial('a ring that loops stops the device until it is reset', async (t) => {
  const served = await Served.start();
  const { frontEnd, driver, memory } = await served.boot({ indirect: false });
  const errFd = addon.eventfd();
  const index = QueueIndex.FIRST_REQUEST;
  await frontEnd.send(Request.SET_VRING_ERR, vringFd(index, true), { fds: [errFd] });
  const queue = driver.queues[index];
  queue.writeDescriptor(7, { address: 0x1000, length: 8, flags: 1, next: 7 });
  queue.offer(7);
  queue.publish();
  queue.kick();
  await eventually(() => served.target.state.frontEnd?.broken !== undefined);
  t.regex(served.target.state.frontEnd!.broken!, /ring 2: .*loops/);
  t.is(addon.drain(errFd), 1);
  addon.close(errFd);
  await frontEnd.send(Request.RESET_DEVICE);
  driver.close();
  t.is(served.target.state.frontEnd!.broken, undefined);
  const again = await VirtioScsiDriver.start(frontEnd, memory);
  await again.execute(READ);
  t.is((await again.execute(READ)).status, Status.GOOD);
  again.close();
  await served.close();
});

test.serial('what was taken before a broken chain is answered, and the device can be reset', async (t) => {
  const served = await Served.start();
  const { frontEnd, driver } = await served.boot({ indirect: false });
  const queue = driver.queues[QueueIndex.FIRST_REQUEST];
  const kick = queue.kick.bind(queue);
  queue.kick = () => {};
  const reads = [driver.execute(READ), driver.execute(READ)];
  queue.writeDescriptor(120, { address: 0x1000, length: 8, flags: 1, next: 120 });
  queue.offer(120);
  queue.publish();
  kick();
  for (const { status } of await Promise.all(reads)) t.is(status, Status.GOOD);
  await eventually(() => served.target.state.frontEnd?.broken !== undefined);
  await frontEnd.send(Request.RESET_DEVICE);
  t.is(served.target.state.frontEnd!.broken, undefined);
  await served.close();
});

const placements: readonly [string, (address: number) => number, RegExp][] = [
  ['outside of memory', () => 0x6000_0000_0000, /not in the shared memory/],
  ['across the end of a region', () => 0x7f5a_0000_0000 + 0xa0000 - 2, /not in the shared memory/],
  ['at an odd address', (address) => address + 1, /not aligned/],
];
const formats: readonly [string, bigint][] = [
  ['split', USUAL_FEATURES],
  ['packed', USUAL_FEATURES | featureSet(VirtioFeature.RING_PACKED)],
];
const parts = ['descriptor', 'available', 'used'] as const;

for (const [format, features] of formats) {
  for (const [what, place, reason] of placements) {
    test.serial(`a ${format} ring with a part ${what} breaks the device, not the connection`, async (t) => {
      const served = await Served.start();
      const { frontEnd, driver, memory } = await served.boot({ features });
      await driver.stop();
      const ring = driver.rings[QueueIndex.FIRST_REQUEST];
      const right = {
        index: QueueIndex.FIRST_REQUEST,
        descriptor: memory.userAddress(ring.descriptorAddress),
        used: memory.userAddress(ring.usedAddress),
        available: memory.userAddress(ring.availableAddress),
      };
      for (const part of parts) {
        await frontEnd.send(Request.SET_VRING_ADDR, vringAddress({ ...right, [part]: place(right[part]) }));
        await frontEnd.send(Request.SET_VRING_KICK, vringFd(QueueIndex.FIRST_REQUEST, true), {
          fds: [ring.kickFd],
        });
        t.regex(served.target.state.frontEnd!.broken!, reason, part);
      }
      await served.close();
    });
  }
}

const NOWHERE = 0x6000_0000_0000;

for (const [format, features] of formats) {
  test.serial(
    `a descriptor of a ${format} ring that lies nowhere is written nothing, and the device works on`,
    async (t) => {
      const served = await Served.start();
      const { driver, memory } = await served.boot({ features });
      const header = memory.allocate(64);
      const response = memory.allocate(128);
      memory.bytes(header, 51).fill(0).set([1, 0, 0x40, 0]);
      memory.bytes(header, 51).set(READ.cdb, 19);
      const right = [
        { address: header, length: 51, writable: false },
        { address: response, length: 108, writable: true },
        { address: memory.allocate(512), length: 512, writable: true },
      ];
      for (const [wrong, answer] of [
        [0, VirtioScsiResponse.FAILURE],
        [1, undefined],
        [2, VirtioScsiResponse.FAILURE],
      ] as const) {
        for (const address of [NOWHERE, 2 ** 53 - PAGE, 0xa0000 - 16]) {
          memory.bytes(response, 108).fill(0xa5);
          await driver.submit(
            QueueIndex.FIRST_REQUEST,
            right.map((each, i) => (i === wrong ? { ...each, address } : each)),
          );
          t.is(memory.bytes(response, 12)[11], answer ?? 0xa5, `${wrong} at ${address}`);
        }
      }
      t.is((await driver.execute(READ)).status, Status.GOOD);
      await served.close();
    },
  );
}
