/** Front-ends that break the protocol: their connection ends with a reason, nobody else notices, nothing is left. */
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import test from 'ava';
import { MessageFlags, Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { fillEventfd, makeBlocking } from '../../support/eventfd.ts';
import { ConnectionClosed, type FrontEnd, Refused } from '../../support/vhost-user/front-end.ts';
import type { GuestRegion } from '../../support/vhost-user/guest-memory.ts';
import {
  config,
  EMPTY,
  inflight,
  memoryTable,
  message,
  singleRegion,
  u64,
  vringAddress,
  vringFd,
  vringState,
} from '../../support/vhost-user/messages.ts';
import { eventually, resources, Served } from '../../support/vhost-user/served.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const PAGE = 4096;

interface Context {
  readonly frontEnd: FrontEnd;
  /** A memory file of 4 MiB. */
  readonly fd: number;
}

const region = (guestAddress: number, length: number, mmapOffset = 0): GuestRegion => ({
  guestAddress,
  length,
  userAddress: 0x7000_0000_0000 + guestAddress,
  mmapOffset,
  fd: -1,
});

/** Sends a message with an eventfd attached as often as asked. */
function withEventfds({ frontEnd }: Context, bytes: Uint8Array, count: number): void {
  const fds = Array.from({ length: count }, () => addon.eventfd());
  frontEnd.sendRaw(bytes, fds);
  for (const fd of fds) addon.close(fd);
}

const send =
  (request: number, payload: Uint8Array) =>
  ({ frontEnd }: Context) =>
    frontEnd.sendRaw(message(request, payload));
const addRegions =
  (...regions: readonly GuestRegion[]) =>
  ({ frontEnd, fd }: Context) => {
    for (const each of regions) frontEnd.sendRaw(message(Request.ADD_MEM_REG, singleRegion(each)), [fd]);
  };

const hostile: Readonly<Record<string, readonly [(context: Context) => void, RegExp]>> = {
  'a message of another version': [
    ({ frontEnd }) => frontEnd.sendRaw(message(Request.GET_FEATURES, EMPTY, 3)),
    /version 3/,
  ],
  'a message of a gigabyte': [
    ({ frontEnd }) => frontEnd.sendRaw(message(Request.SET_OWNER, EMPTY, MessageFlags.VERSION, 2 ** 30)),
    /1073741824 bytes/,
  ],
  'an unknown message': [send(999, EMPTY), /request 999 is unknown/],
  'message 0': [send(0, EMPTY), /request 0 is unknown/],
  'a payload where none belongs': [send(Request.SET_OWNER, u64(1)), /without payload/],
  'a u64 cut short': [send(Request.SET_FEATURES, new Uint8Array(4)), /expected 8/],
  'protocol features that were not offered': [
    send(Request.SET_PROTOCOL_FEATURES, u64(1n << 40n)),
    /not offered/,
  ],
  'features that change the rings and were not offered': [
    send(Request.SET_FEATURES, u64(1n << 35n)),
    /not offered/,
  ],
  'a message whose protocol feature is not negotiated': [
    send(Request.GET_CONFIG, config(0, 4)),
    /not negotiated/,
  ],
  'a ring outside of the device': [send(Request.SET_VRING_NUM, vringState(256, 8)), /ring 256/],
  'a ring with the highest number': [
    send(Request.SET_VRING_ENABLE, vringState(0xffff_ffff, 1)),
    /ring 4294967295/,
  ],
  'a ring that is enabled with 2': [send(Request.SET_VRING_ENABLE, vringState(0, 2)), /enabled with 2/],
  'a kick without addresses': [
    (context) => withEventfds(context, message(Request.SET_VRING_KICK, vringFd(0, true)), 1),
    /no addresses/,
  ],
  'a ring that is to be polled and has no addresses': [
    send(Request.SET_VRING_KICK, vringFd(0, false)),
    /no addresses/,
  ],
  'a call without the descriptor that it announces': [
    send(Request.SET_VRING_CALL, vringFd(0, true)),
    /0 file descriptors/,
  ],
  'a call descriptor that is a file': [
    ({ frontEnd, fd }) => frontEnd.sendRaw(message(Request.SET_VRING_CALL, vringFd(0, true)), [fd]),
    /no eventfd/,
  ],
  'a call with two descriptors': [
    (context) => withEventfds(context, message(Request.SET_VRING_CALL, vringFd(0, true)), 2),
    /2 file descriptors/,
  ],
  'nine descriptors': [
    (context) => withEventfds(context, message(Request.SET_VRING_CALL, vringFd(0, true)), 9),
    /more than 8 file descriptors/,
  ],
  'a ring address that no Number holds': [
    send(Request.SET_VRING_ADDR, vringAddress({ index: 0, descriptor: 2n ** 60n, used: 0, available: 0 })),
    /2\^53/,
  ],
  'an empty memory region': [addRegions(region(0, 0)), /is empty/],
  'a memory region that ends beyond all addresses': [
    addRegions({ ...region(2 ** 53 - PAGE, 2 * PAGE), userAddress: 0 }),
    /wraps/,
  ],
  'a memory region that starts where its file is over': [
    addRegions(region(0, PAGE, 4 << 20)),
    /ends at byte 4198400 of a file of 4194304/,
  ],
  'memory regions that overlap': [addRegions(region(0, 2 * PAGE), region(PAGE, PAGE)), /overlaps/],
  'a memory region inside another one': [addRegions(region(0, 8 * PAGE), region(PAGE, PAGE)), /overlaps/],
  'the same memory region twice': [addRegions(region(0, PAGE), region(0, PAGE)), /overlaps/],
  '510 memory regions': [
    addRegions(...Array.from({ length: 510 }, (_, i) => region(i * PAGE, PAGE))),
    /more than 509 memory regions/,
  ],
  'a memory region without a file': [
    ({ frontEnd }) => frontEnd.sendRaw(message(Request.ADD_MEM_REG, singleRegion(region(0, PAGE)))),
    /0 file descriptors/,
  ],
  'a memory region that is an eventfd': [
    (context) => withEventfds(context, message(Request.ADD_MEM_REG, singleRegion(region(0, PAGE))), 1),
    /a file system unknown here/,
  ],
  'a memory region that is /dev/zero': [
    ({ frontEnd }) => {
      const fd = openSync('/dev/zero', 'r+');
      frontEnd.sendRaw(message(Request.ADD_MEM_REG, singleRegion(region(0, PAGE))), [fd]);
      closeSync(fd);
    },
    /file of 0/,
  ],
  'the removal of memory that is not there': [
    send(Request.REM_MEM_REG, singleRegion(region(0, PAGE))),
    /no memory region/,
  ],
  'a memory table with fewer descriptors than regions': [
    ({ frontEnd, fd }) =>
      frontEnd.sendRaw(message(Request.SET_MEM_TABLE, memoryTable([region(0, PAGE), region(PAGE, PAGE)])), [
        fd,
      ]),
    /2 memory regions with 1 file descriptors/,
  ],
  'a memory table with more regions than bytes': [
    ({ frontEnd, fd }) => frontEnd.sendRaw(message(Request.SET_MEM_TABLE, memoryTable([], 8)), [fd]),
    /cut short/,
  ],
  'an in-flight buffer for 0 rings': [send(Request.GET_INFLIGHT_FD, inflight(0, 0, 0, 128)), /0 rings/],
  'an in-flight buffer for 65535 rings': [
    send(Request.GET_INFLIGHT_FD, inflight(0, 0, 0xffff, 128)),
    /65535 rings/,
  ],
  'an in-flight buffer that is larger than its file': [
    ({ frontEnd, fd }) =>
      frontEnd.sendRaw(message(Request.SET_INFLIGHT_FD, inflight(1 << 30, 0, 256, 32768)), [fd]),
    /of a file of 4194304/,
  ],
  'an in-flight buffer that is smaller than its rings': [
    ({ frontEnd, fd }) => frontEnd.sendRaw(message(Request.SET_INFLIGHT_FD, inflight(64, 0, 3, 128)), [fd]),
    /of 64 bytes/,
  ],
  'an end in the middle of a message': [
    ({ frontEnd }) => {
      frontEnd.sendRaw(message(Request.SET_FEATURES, u64(0)).subarray(0, 15));
      frontEnd.close();
    },
    /within a message/,
  ],
};

for (const [what, [attack, reason]] of Object.entries(hostile)) {
  test.serial(`${what} ends the connection with a reason`, async (t) => {
    const served = await Served.start();
    const fd = addon.memfd('lunport-test', 4 << 20);
    const before = resources();
    const frontEnd = served.connect();
    await frontEnd.negotiate();
    attack({ frontEnd, fd });
    await frontEnd.closed;
    await served.alone();
    t.regex(served.target.state.lastDisconnect!, reason);
    // What it sent is closed by another thread.
    await eventually(() => resources().fds <= before.fds);
    t.deepEqual(resources(), before, 'nothing is left of it');
    const { driver } = await served.boot();
    t.is((await driver.execute(READ)).status, Status.GOOD);
    await served.close();
    addon.close(fd);
  });
}

test.serial(
  'a message that fails is answered with a failure before the end, where an answer is due',
  async (t) => {
    const served = await Served.start();
    const frontEnd = served.connect();
    await frontEnd.negotiate();
    await t.throwsAsync(frontEnd.send(Request.SET_VRING_ENABLE, vringState(0, 2)), { instanceOf: Refused });
    await frontEnd.closed;
    await served.close();
  },
);

test.serial(
  'after a message that ends the connection none is served, however long its tasks take',
  async (t) => {
    const served = await Served.start();
    const { frontEnd, driver } = await served.boot();
    served.backstore.hold = true;
    served.backstore.cancellable = false;
    void driver.execute(READ).catch(() => {});
    await eventually(() => served.backstore.held.length === 1);
    frontEnd.sendRaw(message(999, EMPTY));
    // A ring that starts again would go on after its memory is gone.
    const rest = [
      frontEnd.getFeatures(),
      frontEnd.enableRing(QueueIndex.FIRST_REQUEST),
      frontEnd.getVringBase(QueueIndex.FIRST_REQUEST),
    ];
    const refusals = Promise.all(rest.map((each) => t.throwsAsync(each, { instanceOf: ConnectionClosed })));
    // Long enough for them to be read, were they.
    await new Promise((resolve) => setTimeout(resolve, 20));
    served.backstore.hold = false;
    served.backstore.release();
    await refusals;
    await served.alone();
    t.regex(served.target.state.lastDisconnect!, /request 999 is unknown/);
    await served.close();
  },
);

test.serial('a front-end that takes its memory back ends its own connection and no other', async (t) => {
  const victim = await Served.start();
  const served = await Served.start();
  const bystander = await victim.boot();
  const guest = await served.boot();
  ftruncateSync(guest.memory.fd, 0);
  addon.signal(guest.driver.queues[QueueIndex.FIRST_REQUEST].kickFd);
  await guest.frontEnd.closed;
  await served.alone();
  t.regex(served.target.state.lastDisconnect!, /took back memory/);
  t.is((await bystander.driver.execute(READ)).status, Status.GOOD);
  const next = await served.boot();
  t.is((await next.driver.execute(READ)).status, Status.GOOD);
  await served.close();
  await victim.close();
});

test.serial(
  'a front-end that blocks its call descriptor loses its connection, and nobody waits for it',
  async (t) => {
    const victim = await Served.start();
    const served = await Served.start();
    const bystander = await victim.boot();
    const { frontEnd, driver } = await served.boot();
    const callFd = addon.eventfd();
    const index = QueueIndex.FIRST_REQUEST;
    await frontEnd.send(Request.SET_VRING_CALL, vringFd(index, true), { fds: [callFd] });
    makeBlocking(callFd);
    // It was signalled once when it was handed over.
    fillEventfd(callFd, 1);
    void driver.execute(READ);
    await frontEnd.closed;
    await served.alone();
    t.regex(served.target.state.lastDisconnect!, /blocks the descriptors of ring 2/);
    t.is((await bystander.driver.execute(READ)).status, Status.GOOD);
    addon.close(callFd);
    await served.close();
    await victim.close();
  },
);
