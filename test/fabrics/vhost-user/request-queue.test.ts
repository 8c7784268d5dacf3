import test from 'ava';
import { VirtioScsiResponse } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { LAYOUTS } from '../../support/vhost-user/descriptor-layout.ts';
import { Served, senseCode } from '../../support/vhost-user/served.ts';

const INQUIRY = [0x12, 0, 0, 0, 96, 0];
const read10 = (lba: number, blocks: number) => [0x28, 0, 0, 0, lba >> 8, lba, 0, 0, blocks, 0];
const write10 = (lba: number, blocks: number) => [0x2a, 0, 0, 0, lba >> 8, lba, 0, 0, blocks, 0];
const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff);

for (const [name, layout] of Object.entries(LAYOUTS)) {
  for (const indirect of [false, true]) {
    test(`data survives the round trip, layout ${name}, indirect ${indirect}`, async (t) => {
      const served = await Served.start();
      const { driver } = await served.boot({ layout, indirect, queueSize: 1024 });
      const dataOut = pattern(512);
      const written = await driver.execute({ cdb: write10(3, 1), dataOut });
      t.is(written.response, VirtioScsiResponse.OK);
      t.is(written.status, Status.GOOD);
      t.is(written.residual, 0);
      const read = await driver.execute({ cdb: read10(3, 1), dataInLength: 512 });
      t.is(read.status, Status.GOOD);
      t.deepEqual(read.dataIn, dataOut);
      t.is(read.written, 108 + 512);
      await served.close();
    });
  }
}

test('a buffer may lie in two regions that touch', async (t) => {
  const served = await Served.start();
  const memory = [
    { guestAddress: 0, length: 0x40_0000 },
    { guestAddress: 0x40_0000, length: 0x40_0000 },
  ];
  const { driver, memory: guest } = await served.boot({ memory });
  const dataOut = pattern(8192);
  await driver.execute({ cdb: write10(0, 16), dataOut });
  // The last 4096 bytes of one region and the first of the other, taken from nobody's allocation.
  const start = 0x40_0000 - 4096;
  const request = guest.allocate(64);
  const response = guest.allocate(128);
  guest.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
  guest.bytes(request, 51).set(read10(0, 16), 19);
  const written = await driver.submit(2, [
    { address: request, length: 51, writable: false },
    { address: response, length: 108, writable: true },
    { address: start, length: 8192, writable: true },
  ]);
  t.is(written, 108 + 8192);
  t.deepEqual(guest.bytes(start, 4096).slice(), dataOut.slice(0, 4096));
  t.deepEqual(guest.bytes(0x40_0000, 4096).slice(), dataOut.slice(4096));
  await served.close();
});

test('a CHECK CONDITION carries its sense data, and the next response none of it', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  const failed = await driver.execute({ cdb: read10(0xffff, 1), dataInLength: 512 });
  t.is(failed.response, VirtioScsiResponse.OK);
  t.is(failed.status, Status.CHECK_CONDITION);
  t.is(senseCode(failed.sense), 0x2100);
  t.is(failed.residual, 512);
  const good = await driver.execute({ cdb: INQUIRY, dataInLength: 96 });
  t.is(good.status, Status.GOOD);
  t.is(good.sense.length, 0);
  await served.close();
});

test('less data than offered is a residual, more than offered an overrun', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  const short = await driver.execute({ cdb: INQUIRY, dataInLength: 512 });
  t.is(short.response, VirtioScsiResponse.OK);
  t.is(short.residual, 512 - 96);
  t.is(short.written, 108 + 96);
  const over = await driver.execute({ cdb: read10(0, 8), dataInLength: 1024 });
  t.is(over.response, VirtioScsiResponse.OVERRUN);
  await served.close();
});

const addresses: readonly [string, { target?: number; lun?: number; lunField?: number[] }, number, number][] =
  [
    ['another target', { target: 1 }, VirtioScsiResponse.BAD_TARGET, 0],
    ['an unknown form', { lunField: [9, 0, 0, 0, 0, 0, 0, 0] }, VirtioScsiResponse.BAD_TARGET, 0],
    ['an absent LUN', { lun: 5 }, VirtioScsiResponse.OK, 0x7f],
    ['a present LUN', { lun: 0 }, VirtioScsiResponse.OK, 0x00],
    ['the well-known LUN', { lunField: [0xc1, 1, 0, 0, 0, 0, 0, 0] }, VirtioScsiResponse.OK, 0x1e],
  ];

for (const [what, address, response, peripheral] of addresses) {
  test(`INQUIRY to ${what} is answered in its way`, async (t) => {
    const served = await Served.start();
    const { driver } = await served.boot();
    const result = await driver.execute({ cdb: INQUIRY, dataInLength: 96, ...address });
    t.is(result.response, response);
    if (response === VirtioScsiResponse.OK) t.is(result.dataIn[0], peripheral);
    await served.close();
  });
}

test('a target may have another number', async (t) => {
  const served = await Served.start({ targetNumber: 7 });
  const { driver } = await served.boot({ powerOn: true });
  const there = await driver.execute({ cdb: INQUIRY, dataInLength: 96, target: 7 });
  t.is(there.response, VirtioScsiResponse.OK);
  const gone = await driver.execute({ cdb: INQUIRY, dataInLength: 96 });
  t.is(gone.response, VirtioScsiResponse.BAD_TARGET);
  await served.close();
});

test('data both ways is refused, since INOUT is not offered', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  const result = await driver.execute({ cdb: read10(0, 1), dataOut: new Uint8Array(512), dataInLength: 512 });
  t.is(result.response, VirtioScsiResponse.FAILURE);
  await served.close();
});

interface Part {
  readonly address: 'request' | 'response' | 'data' | number;
  readonly length: number;
  readonly writable: boolean;
}
const HOLE = 0xb0000;
const request: Part = { address: 'request', length: 51, writable: false };
const response: Part = { address: 'response', length: 108, writable: true };

const broken: readonly [string, readonly Part[], number | undefined][] = [
  ['a response in a hole', [request, { ...response, address: HOLE }], undefined],
  ['no response at all', [request], undefined],
  ['a response too short for sense data', [request, { ...response, length: 107 }], undefined],
  ['a request in a hole', [{ ...request, address: HOLE }, response], VirtioScsiResponse.FAILURE],
  ['a request cut short', [{ ...request, length: 50 }, response], VirtioScsiResponse.FAILURE],
  ['no request at all', [response], VirtioScsiResponse.FAILURE],
  [
    'data in a hole',
    [request, response, { address: HOLE, length: 512, writable: true }],
    VirtioScsiResponse.FAILURE,
  ],
  [
    'data that ends in a hole',
    [request, response, { address: 0xa0000 - 256, length: 512, writable: true }],
    VirtioScsiResponse.FAILURE,
  ],
  [
    'data at the end of all addresses',
    [request, response, { address: 2 ** 53 - 1, length: 512, writable: true }],
    VirtioScsiResponse.FAILURE,
  ],
];

for (const [what, parts, expected] of broken) {
  test(`${what} fails that request only`, async (t) => {
    const served = await Served.start();
    const { driver, memory } = await served.boot({ indirect: false });
    const places = {
      request: memory.allocate(64),
      response: memory.allocate(256),
      data: memory.allocate(512),
    };
    memory.bytes(places.request, 64).fill(0).set([1, 0, 0x40, 0]);
    memory.bytes(places.request, 64).set(read10(0, 1), 19);
    const answer = memory.bytes(places.response, 256).fill(0xee);
    const elements = parts.map((part) => ({
      ...part,
      address: typeof part.address === 'number' ? part.address : places[part.address],
    }));
    const written = await driver.submit(2, elements);
    if (expected === undefined) {
      t.is(written, 0);
      t.true(answer.every((byte) => byte === 0xee));
    } else t.is(answer[11], expected);
    const next = await driver.execute({ cdb: INQUIRY, dataInLength: 96 });
    t.is(next.status, Status.GOOD);
    t.is(served.target.state.frontEnd!.broken, undefined);
    await served.close();
  });
}

test('two hundred requests at once are all answered, each with its own data', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot({ queueSize: 256, requestQueues: 4 });
  const block = (i: number) => pattern(512).map((byte) => byte ^ i);
  const writes = Array.from({ length: 200 }, (_, i) =>
    driver.execute({ cdb: write10(i, 1), dataOut: block(i), queue: i % 4 }),
  );
  for (const { status } of await Promise.all(writes)) t.is(status, Status.GOOD);
  const reads = Array.from({ length: 200 }, (_, i) =>
    driver.execute({ cdb: read10(i, 1), dataInLength: 512, queue: (i + 1) % 4 }),
  );
  for (const [i, { dataIn }] of (await Promise.all(reads)).entries()) t.deepEqual(dataIn, block(i));
  await served.close();
});
