import test from 'ava';
import { BlockError } from '../../../src/fabrics/loopback/block-error.ts';
import { UnusableUnitError } from '../../../src/fabrics/loopback/block-initiator.ts';
import { BlockKind } from '../../../src/fabrics/loopback/block-request.ts';
import { OperationKind, Outcome } from '../../../src/scsi/backstore.ts';
import { Sense } from '../../../src/scsi/sense-spec.ts';
import { pattern } from '../../support/block-cdbs.ts';
import { openBlockInitiator, type RequestOptions, startRequest } from '../../support/block-initiator.ts';
import { Core, type CoreOptions, TEST_IDENTITY, TestStore } from '../../support/core.ts';

const BLOCK = 512;

test('the geometry is what the pages say', async (t) => {
  const { geometry } = await openBlockInitiator(new Core());
  t.is(geometry.blockSize, BLOCK);
  t.is(geometry.byteLength, 1 << 20);
  t.false(geometry.readOnly);
  t.true(geometry.fua);
  t.true(geometry.unmap);
  t.true(geometry.unmapByWriteSame);
  t.true(geometry.unmapReadsZero);
  const readOnly = await openBlockInitiator(new Core({ capabilities: { readOnly: true, unmap: false } }));
  t.true(readOnly.geometry.readOnly);
  t.false(readOnly.geometry.unmap);
});

test('what is written is read, and nothing stays allocated', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  const data = pattern(8 * BLOCK, 5);
  t.is((await startRequest(device, BlockKind.WRITE, 3 * BLOCK, data.length, { data }).ended).error, 0);
  t.deepEqual((await startRequest(device, BlockKind.READ, 3 * BLOCK, data.length).ended).data, data);
  t.deepEqual(core.backstore.bytes.slice(3 * BLOCK, 11 * BLOCK), data);
  t.is(core.environment.memory.outstanding, 0);
});

interface Row {
  readonly title: string;
  readonly core?: CoreOptions;
  readonly kind: BlockKind;
  readonly blocks: [first: number, count: number];
  readonly options?: RequestOptions;
  /** What reaches the backstore: kind, first block, blocks, FUA. */
  readonly does: readonly (readonly [number, number, number, boolean?])[];
}

const { UNMAP, WRITE_ZEROES, FLUSH, WRITE, PREFETCH } = OperationKind;
const cached: CoreOptions = { capabilities: { volatileCache: true } };
const rows: Row[] = [
  {
    title: 'a discard in pieces of what one UNMAP may hold',
    core: { attributes: { max_unmap_lba_count: 40 } },
    kind: BlockKind.DISCARD,
    blocks: [8, 100],
    does: [
      [UNMAP, 8, 40],
      [UNMAP, 48, 40],
      [UNMAP, 88, 20],
    ],
  },
  {
    title: 'zeroes that stay allocated',
    kind: BlockKind.WRITE_ZEROES,
    blocks: [8, 8],
    does: [[WRITE_ZEROES, 8, 8]],
  },
  {
    title: 'zeroes that may be unmapped',
    kind: BlockKind.WRITE_ZEROES,
    blocks: [8, 8],
    options: { mayUnmap: true },
    does: [[UNMAP, 8, 8]],
  },
  {
    title: 'zeroes that may be unmapped, where that would not read as zeroes',
    core: { capabilities: { unmapReadsZero: false } },
    kind: BlockKind.WRITE_ZEROES,
    blocks: [8, 8],
    options: { mayUnmap: true },
    does: [[WRITE_ZEROES, 8, 8]],
  },
  {
    title: 'durable zeroes',
    core: cached,
    kind: BlockKind.WRITE_ZEROES,
    blocks: [0, 8],
    options: { forceUnitAccess: true },
    does: [
      [WRITE_ZEROES, 0, 8],
      [FLUSH, 0, 0],
    ],
  },
  {
    title: 'a durable write',
    core: cached,
    kind: BlockKind.WRITE,
    blocks: [0, 8],
    options: { forceUnitAccess: true },
    does: [[WRITE, 0, 8, true]],
  },
  {
    title: 'a durable write on a unit without FUA',
    core: { ...cached, attributes: { emulate_fua_write: 0 } },
    kind: BlockKind.WRITE,
    blocks: [0, 8],
    options: { forceUnitAccess: true },
    does: [
      [WRITE, 0, 8, false],
      [FLUSH, 0, 0],
    ],
  },
  { title: 'a flush', core: cached, kind: BlockKind.FLUSH, blocks: [0, 0], does: [[FLUSH, 0, 0]] },
  { title: 'a prefetch', kind: BlockKind.CACHE, blocks: [2, 6], does: [[PREFETCH, 2, 6]] },
];
for (const { title, core: options, kind, blocks, options: how, does } of rows) {
  test(`${title} becomes the commands that it should`, async (t) => {
    const core = new Core(options);
    const device = await openBlockInitiator(core);
    core.backstore.log.length = 0;
    const { error } = await startRequest(device, kind, blocks[0] * BLOCK, blocks[1] * BLOCK, how).ended;
    t.is(error, BlockError.NONE);
    t.deepEqual(
      core.backstore.log
        .filter((done) => kind !== BlockKind.FLUSH || done.kind === FLUSH)
        .map((done) => [
          done.kind,
          done.offset / BLOCK,
          done.kind === FLUSH ? 0 : done.length / BLOCK,
          done.kind === WRITE && done.fua,
        ]),
      does.map(([operation, first, count, fua = false]) => [operation, first, count, fua]),
    );
  });
}

test('unit attentions are only news', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  for (const attention of [Sense.MODE_PARAMETERS_CHANGED, Sense.INQUIRY_DATA_HAS_CHANGED]) {
    core.disk.establishForAll(attention);
  }
  const { error } = await startRequest(device, BlockKind.WRITE, 0, BLOCK).ended;
  t.is(error, BlockError.NONE);
});

test('a reservation of another initiator forbids writing, not reading', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  const list = new Uint8Array(24);
  list[15] = 1;
  await core.initiator.send({ cdb: [0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  const held = new Uint8Array(24);
  held[7] = 1;
  await core.initiator.send({ cdb: [0x5f, 1, 1, 0, 0, 0, 0, 0, 24, 0], dataOut: held });
  for (const kind of [BlockKind.WRITE, BlockKind.DISCARD, BlockKind.WRITE_ZEROES]) {
    t.is((await startRequest(device, kind, 0, BLOCK).ended).error, BlockError.EPERM);
  }
  t.is((await startRequest(device, BlockKind.READ, 0, BLOCK).ended).error, BlockError.NONE);
});

const faults: [Outcome, BlockError][] = [
  [Outcome.MEDIUM_ERROR, BlockError.EIO],
  [Outcome.NO_SPACE, BlockError.ENOSPC],
  [Outcome.WRITE_PROTECTED, BlockError.EPERM],
];
for (const [outcome, expected] of faults) {
  test(`outcome ${outcome} of the backstore is error ${expected}`, async (t) => {
    const core = new Core();
    const device = await openBlockInitiator(core);
    core.backstore.fault = { kind: OperationKind.WRITE, outcome, at: 0 };
    t.is((await startRequest(device, BlockKind.WRITE, 0, BLOCK).ended).error, expected);
  });
}

test('a unit that becomes ready is waited for, but not for ever', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  core.backstore.fault = { kind: OperationKind.READ, outcome: Outcome.BUSY, at: 0 };
  const { ended } = startRequest(device, BlockKind.READ, 0, BLOCK);
  let over = false;
  void ended.then(() => {
    over = true;
  });
  await new Promise(setImmediate);
  t.false(over);
  core.backstore.fault = undefined;
  core.environment.advance(50);
  t.is((await ended).error, BlockError.NONE);
  core.backstore.fault = { kind: OperationKind.READ, outcome: Outcome.BUSY, at: 0 };
  const hopeless = startRequest(device, BlockKind.READ, 0, BLOCK).ended;
  for (let i = 0; i < 700; i++) {
    await new Promise(setImmediate);
    core.environment.advance(50);
  }
  t.is((await hopeless).error, BlockError.EIO);
});

test('an aborted request ends once, when its memory is no longer used', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  core.backstore.hold = true;
  const { request, ended } = startRequest(device, BlockKind.READ, 0, BLOCK);
  request.abort();
  core.backstore.releaseHeld();
  t.is((await ended).error, BlockError.ESHUTDOWN);
  t.is(core.environment.memory.outstanding, 0);
});

test('a reset by another initiator costs a request time, not its life', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  core.backstore.hold = true;
  const { ended } = startRequest(device, BlockKind.READ, 0, BLOCK);
  const reset = core.initiator.resetLogicalUnit();
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  await reset;
  t.is((await ended).error, BlockError.NONE);
});

test('extents tell data from holes, and which holes read as zeroes', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  await startRequest(device, BlockKind.WRITE, 8 * BLOCK, 4 * BLOCK).ended;
  t.deepEqual(await device.extents(4 * BLOCK, 12 * BLOCK), [
    { offset: 4 * BLOCK, length: 4 * BLOCK, hole: true, zero: true },
    { offset: 8 * BLOCK, length: 4 * BLOCK, hole: false, zero: false },
    { offset: 12 * BLOCK, length: 4 * BLOCK, hole: true, zero: true },
  ]);
});

test('a new capacity is noticed', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  core.disk.blockCount = 100;
  const changed = new Promise<void>((resolve) => {
    device.onChange = resolve;
  });
  core.disk.establishForAll(Sense.CAPACITY_DATA_HAS_CHANGED);
  await changed;
  t.is(device.geometry.byteLength, 100 * BLOCK);
});

for (const store of [undefined, new TestStore()]) {
  test(`the write cache is switched, ${store === undefined ? 'where nothing is saved' : 'and saved'}`, async (t) => {
    const core = new Core({ ...cached, store });
    const device = await openBlockInitiator(core);
    const other = await openBlockInitiator(core, 'naa.5000000000000088');
    t.true(device.geometry.switchableCache);
    const heard = new Promise<void>((resolve) => {
      other.onChange = resolve;
    });
    t.true(await device.setWriteCache(false));
    await heard;
    t.false(device.geometry.volatileCache);
    t.false(other.geometry.volatileCache);
    const saved = [...(store?.texts.values() ?? [])].join();
    t.is(saved !== '', store !== undefined);
    t.true(await device.setWriteCache(true));
    t.true(device.geometry.volatileCache);
  });
}

test('a disk without a volatile cache has none to switch', async (t) => {
  const device = await openBlockInitiator(new Core({ capabilities: { volatileCache: false } }));
  t.false(device.geometry.switchableCache);
  t.false(await device.setWriteCache(true));
  t.false(device.geometry.volatileCache);
});

test('data in several pieces moves in commands that are cut elsewhere', async (t) => {
  const core = new Core({ attributes: { max_unmap_lba_count: 40 } });
  const device = await openBlockInitiator(core);
  device.geometry = { ...device.geometry, maximumTransfer: 3 };
  const { memory } = core.environment;
  const pieces = [1000, 24, 3000, 72].map((length) => memory.allocate(length));
  const whole = pattern(8 * BLOCK, 9);
  const run = (kind: BlockKind) => {
    const request = device.request();
    Object.assign(request, { kind, offset: BLOCK, length: whole.length });
    request.data.clear();
    for (const { region, offset, bytes } of pieces) request.data.add(region, offset, bytes.length);
    return new Promise<void>((resolve) => {
      request.owner = {
        blockRequestDone: ({ error }) => {
          t.is(error, BlockError.NONE);
          device.release(request);
          resolve();
        },
      };
      request.start();
    });
  };
  let at = 0;
  for (const { bytes } of pieces) {
    bytes.set(whole.subarray(at, at + bytes.length));
    at += bytes.length;
  }
  await run(BlockKind.WRITE);
  t.deepEqual(core.backstore.bytes.slice(BLOCK, 9 * BLOCK), whole);
  for (const { bytes } of pieces) bytes.fill(0);
  await run(BlockKind.READ);
  t.deepEqual(Uint8Array.from(pieces.flatMap(({ bytes }) => [...bytes])), whole);
});

test('a unit that goes away leaves the geometry as it was', async (t) => {
  const core = new Core();
  const device = await openBlockInitiator(core);
  core.lunMap.remove(0);
  await device.refresh();
  t.is(device.geometry.byteLength, 1 << 20);
});

test('the serial number is that of the unit', async (t) => {
  const device = await openBlockInitiator(new Core());
  t.is(Buffer.from((await device.serialNumber())!).toString(), TEST_IDENTITY.serial);
});

test('a LUN without a unit cannot be opened', async (t) => {
  const core = new Core();
  core.lunMap.remove(0);
  await t.throwsAsync(openBlockInitiator(core), { instanceOf: UnusableUnitError });
});
