import test from 'ava';
import { LOG_PAGE, Request, VhostFeature } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { BlkHeader } from '../../../src/fabrics/vhost-user/virtio-blk-spec.ts';
import {
  Event,
  QueueIndex,
  TaskManagementRequest,
  VirtioScsiResponse,
} from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { FrontEnd, USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { GuestMemory } from '../../support/vhost-user/guest-memory.ts';
import { logBase, vringAddress } from '../../support/vhost-user/messages.ts';
import { type Guest, Served } from '../../support/vhost-user/served.ts';
import { ServedBlk } from '../../support/vhost-user/served-blk.ts';

const LOG_ALL = 1n << BigInt(VhostFeature.LOG_ALL);
/** One bit per page up to the end of the guest's memory, at 4 GiB and 8 MiB. */
const LOG_BYTES = 0x1_0080_0000 / LOG_PAGE / 8;

/** The log as the front-end has it: memory of its own, of which the back-end gets the file. */
class Log {
  private readonly memory = new GuestMemory([{ guestAddress: 0, length: 0x30000 }], 0);
  private readonly bits = this.memory.bytes(0, LOG_BYTES);
  private readonly after = this.memory.bytes(LOG_BYTES, 0x30000 - LOG_BYTES).fill(0xa5);

  async start({ frontEnd, driver, memory }: Guest, logged = true): Promise<void> {
    await frontEnd.request(Request.SET_LOG_BASE, logBase(LOG_BYTES, 0), [this.fd]);
    await frontEnd.setFeatures(USUAL_FEATURES | LOG_ALL);
    const queue = driver.queues[QueueIndex.FIRST_REQUEST];
    await frontEnd.send(
      Request.SET_VRING_ADDR,
      vringAddress({
        index: QueueIndex.FIRST_REQUEST,
        flags: logged ? 1 : 0,
        descriptor: memory.userAddress(queue.descriptorAddress),
        used: memory.userAddress(queue.usedAddress),
        available: memory.userAddress(queue.availableAddress),
        log: queue.usedAddress,
      }),
    );
  }

  get fd(): number {
    return this.memory.fd;
  }

  /** Pages marked since the last call. */
  take(): number[] {
    const pages: number[] = [];
    for (let page = 0; page < LOG_BYTES * 8; page++) {
      if ((this.bits[page >> 3] & (1 << (page & 7))) !== 0) pages.push(page);
    }
    this.bits.fill(0);
    return pages;
  }

  /** Whether nothing was written behind the log. */
  get intact(): boolean {
    return this.after.every((byte) => byte === 0xa5);
  }

  close(): void {
    this.memory.close();
  }
}

const pageOf = (address: number) => Math.floor(address / LOG_PAGE);

/** The address of a page that nothing else is on. */
function ownPage({ memory }: { readonly memory: GuestMemory }): number {
  return (pageOf(memory.allocate(3 * LOG_PAGE)) + 1) * LOG_PAGE;
}

/** Sends READ(10) of one block into `data`; returns the response's address, on a page that nothing else is on. */
async function readInto(guest: Guest, data: number, blocks: number): Promise<number> {
  const { driver, memory } = guest;
  const request = memory.allocate(64);
  const response = ownPage(guest);
  memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
  memory.bytes(request, 51).set([0x28, 0, 0, 0, 0, 0, 0, 0, blocks, 0], 19);
  await driver.submit(QueueIndex.FIRST_REQUEST, [
    { address: request, length: 51, writable: false },
    { address: response, length: 108, writable: true },
    { address: data, length: blocks * 512, writable: true },
  ]);
  return response;
}

test('data, response and used ring are marked, and nothing else', async (t) => {
  const served = await Served.start();
  const guest = await served.boot();
  const log = new Log();
  await log.start(guest);
  log.take();
  const data = 0x1_0000_0000 + 0x40_0000 + 3 * LOG_PAGE - 512;
  const response = await readInto(guest, data, 9);
  const { usedAddress } = guest.driver.queues[QueueIndex.FIRST_REQUEST];
  const usedPages = [pageOf(usedAddress), pageOf(usedAddress + 6 + 8 * 128 - 1)];
  const expected = new Set([
    ...usedPages,
    pageOf(response),
    pageOf(data),
    pageOf(data + 512),
    pageOf(data + 9 * 512 - 1),
  ]);
  t.deepEqual(
    log.take(),
    [...expected].sort((a, b) => a - b),
  );
  t.true(log.intact);
  await served.close();
  log.close();
});

test('answers of the control queue and events are marked', async (t) => {
  const served = await Served.start();
  const guest = await served.boot();
  const log = new Log();
  await log.start(guest, false);
  log.take();
  const { driver, memory } = guest;
  const answer = ownPage(guest);
  await driver.submit(QueueIndex.CONTROL, [
    { address: memory.allocate(64), length: TaskManagementRequest.LENGTH, writable: false },
    { address: answer, length: 1, writable: true },
  ]);
  t.deepEqual(log.take(), [pageOf(answer)]);
  const event = ownPage(guest);
  const happened = driver.submit(QueueIndex.EVENT, [
    { address: event, length: Event.LENGTH, writable: true },
  ]);
  served.grow(1 << 21);
  await happened;
  t.deepEqual(log.take(), [pageOf(event)]);
  await served.close();
  log.close();
});

test("a block device's data and status are marked", async (t) => {
  const served = await ServedBlk.start('ram:1M');
  const log = new Log();
  const { frontEnd, memory, driver } = served;
  await frontEnd.request(Request.SET_LOG_BASE, logBase(LOG_BYTES, 0), [log.fd]);
  await frontEnd.setFeatures(frontEnd.features | LOG_ALL);
  log.take();
  const data = ownPage(served);
  const status = ownPage(served);
  const header = memory.allocate(BlkHeader.LENGTH);
  memory.bytes(header, BlkHeader.LENGTH).fill(0);
  await driver.submit(0, [
    { address: header, length: BlkHeader.LENGTH, writable: false },
    { address: data, length: 512, writable: true },
    { address: status, length: 1, writable: true },
  ]);
  t.deepEqual(log.take(), [pageOf(data), pageOf(status)]);
  await served.close();
  log.close();
});

test('of a long buffer, only what was written is marked', async (t) => {
  const served = await Served.start();
  const guest = await served.boot();
  const log = new Log();
  await log.start(guest, false);
  log.take();
  const buffer = { dataInLength: 64 * LOG_PAGE };
  t.is((await guest.driver.execute({ cdb: [0x12, 0, 0, 0, 96, 0], ...buffer })).status, Status.GOOD);
  t.true(log.take().length <= 3, 'INQUIRY: the response, and one page or two of the buffer');
  const outOfRange = { cdb: [0x28, 0, 0x7f, 0, 0, 0, 0, 0, 64, 0], ...buffer };
  t.is((await guest.driver.execute(outOfRange)).status, Status.CHECK_CONDITION);
  t.true(log.take().length >= 64, 'of what failed, all: some of it may have been written');
  await served.close();
  log.close();
});

test('a WRITE marks no data, since it only reads it', async (t) => {
  const served = await Served.start();
  const guest = await served.boot();
  const log = new Log();
  await log.start(guest, false);
  log.take();
  const cdb = [0x2a, 0, 0, 0, 0, 0, 0, 0, 64, 0];
  t.is((await guest.driver.execute({ cdb, dataOut: new Uint8Array(64 * 512) })).status, Status.GOOD);
  t.true(log.take().length <= 2, 'the response only');
  await served.close();
  log.close();
});

test('nothing is marked before a migration and after it', async (t) => {
  const served = await Served.start();
  const guest = await served.boot();
  const log = new Log();
  await log.start(guest);
  await guest.frontEnd.setFeatures(USUAL_FEATURES);
  log.take();
  await readInto(guest, 0x1_0000_0000 + 0x40_0000, 1);
  t.deepEqual(log.take(), []);
  await served.close();
  log.close();
});

test('what the log does not cover is not marked anywhere', async (t) => {
  const served = await Served.start();
  const memory = [
    { guestAddress: 0, length: 0x80_0000 },
    { guestAddress: 0x8_0000_0000, length: 0x10_0000 },
  ];
  const guest = await served.boot({ memory });
  const log = new Log();
  await log.start(guest);
  await readInto(guest, 0x8_0000_2000, 8);
  t.true(log.intact);
  t.true(log.take().every((page) => page < pageOf(0x80_0000)));
  await served.close();
  log.close();
});

for (const length of [0xfff0_0000, 0x8000_0000, 0x80_0000]) {
  test(`a buffer of 0x${length.toString(16)} bytes, beyond all memory, is refused while its pages are logged`, async (t) => {
    const served = await Served.start();
    const guest = await served.boot();
    const log = new Log();
    await log.start(guest);
    const { driver, memory } = guest;
    const request = memory.allocate(64);
    const response = memory.allocate(128);
    const data = 0x1_0000_0000 + 0x40_0000;
    memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
    memory.bytes(request, 51).set([0x28, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0], 19);
    memory.bytes(data, 8192).fill(0xa5);
    await driver.submit(QueueIndex.FIRST_REQUEST, [
      { address: request, length: 51, writable: false },
      { address: response, length: 108, writable: true },
      { address: data, length, writable: true },
    ]);
    t.is(memory.bytes(response, 12)[11], VirtioScsiResponse.FAILURE);
    t.true(memory.bytes(data, 8192).every((byte) => byte === 0xa5));
    t.true(log.intact);
    t.is((await driver.execute({ cdb: [0x12, 0, 0, 0, 96, 0], dataInLength: 96 })).status, Status.GOOD);
    await served.close();
    log.close();
  });
}

const refused: readonly [string, number, number][] = [
  ['no bytes', 0, 0],
  ['more bytes than its file', 8192, 0],
  ['an offset behind its file', 4096, 4096],
  ['an unaligned offset', 64, 100],
  ['a size that overflows with its offset', 2 ** 52, 2 ** 52],
];

for (const [what, size, offset] of refused) {
  test(`a log of ${what} ends the connection`, async (t) => {
    const served = await Served.start();
    const frontEnd = FrontEnd.connect(served.socketPath);
    await frontEnd.negotiate();
    const fd = addon.memfd('lunport-test', 4096);
    await t.throwsAsync(frontEnd.request(Request.SET_LOG_BASE, logBase(size, offset), [fd]));
    addon.close(fd);
    await served.alone();
    t.regex(served.target.state.lastDisconnect!, /log/);
    await served.close();
  });
}
