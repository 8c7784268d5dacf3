import test from 'ava';
import fc from 'fast-check';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { parseModeParameters } from '../../src/scsi/mode-pages/parse-mode-parameters.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { cdb10, outcome } from '../support/block-cdbs.ts';
import { Core, type CoreOptions, TestStore } from '../support/core.ts';
import { ask, modeSense6, TEST_UNIT_READY } from '../support/primary-cdbs.ts';

const PF = 0x10;
const SP = 0x01;
const RTD = 0x02;
const NO_DESCRIPTOR = [0, 0, 0, 0];

const select6 = (length: number, flags = PF) => [0x15, flags, 0, 0, length, 0];
const select10 = (length: number, flags = PF) => [0x55, flags, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0];

/** Sends a parameter list whole. */
async function send(core: Core, list: number[], flags = PF, initiator = core.initiator): Promise<string> {
  return outcome(await initiator.send({ cdb: select6(list.length, flags), dataOut: Uint8Array.from(list) }));
}

/** The current (or other) values of a page, ready to be changed and sent. */
async function pageOf(core: Core, code: number, control = 0): Promise<number[]> {
  const { dataIn } = await ask(core.initiator, modeSense6(code, { flags: 0x08, control }));
  return [dataIn[4] & 0x7f, ...dataIn.subarray(5)];
}

/** The current page with some bytes replaced. */
async function changed(core: Core, code: number, bytes: Record<number, number>): Promise<number[]> {
  return Object.assign(await pageOf(core, code), bytes);
}

test('what MODE SENSE returned is accepted, for every page', async (t) => {
  const core = new Core({ store: new TestStore() });
  for (const { code, subpage } of core.disk.modeParameters.pages) {
    const { dataIn } = await ask(core.initiator, modeSense6(code, { subpage }));
    const list = [...dataIn];
    list[0] = 0;
    t.is(await send(core, list), 'GOOD', `page ${code.toString(16)}`);
  }
});

test('MODE SELECT(10) takes a long block descriptor with LONGLBA', async (t) => {
  const core = new Core();
  const list = [0, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0];
  list.push(...(await changed(core, 0x08, { 2: 0 })));
  const result = await core.initiator.send({ cdb: select10(list.length), dataOut: Uint8Array.from(list) });
  t.is(outcome(result), 'GOOD');
  t.false(core.disk.writeCacheEnabled);
});

test('turning WCE off waits for the writes that were begun with it, and flushes then', async (t) => {
  const core = new Core();
  const off = await changed(core, 0x08, { 2: 0 });
  core.backstore.hold = true;
  const write = core.initiator.send({ cdb: cdb10(0x2a, 0, 1), dataOut: new Uint8Array(512) });
  const select = send(core, [...NO_DESCRIPTOR, ...off]);
  await new Promise(setImmediate);
  t.deepEqual(
    core.backstore.held.map(({ kind }) => kind),
    [OperationKind.WRITE],
  );
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  t.is(outcome(await write), 'GOOD');
  t.is(await select, 'GOOD');
  t.is(core.backstore.log.at(-1)!.kind, OperationKind.FLUSH);
});

const CONTROL = 0x0a;
const controls: [string, Record<number, number>, (core: Core) => unknown, unknown][] = [
  ['TST', { 2: 0x22 }, ({ disk }) => disk.control.tst, 1],
  ['D_SENSE', { 2: 0x06 }, ({ disk }) => disk.control.dSense, true],
  ['QUEUE ALGORITHM MODIFIER', { 3: 0x00 }, ({ disk }) => disk.control.queueAlgorithm, 0],
  ['QERR', { 3: 0x16 }, ({ disk }) => disk.control.qerr, 3],
  ['UA_INTLCK_CTRL', { 4: 0x20 }, ({ disk }) => disk.control.uaIntlck, 2],
  ['SWP', { 4: 0x08 }, ({ disk }) => disk.writeProtected, true],
  ['TAS', { 5: 0x00 }, ({ disk }) => disk.control.tas, false],
];

for (const [title, bytes, read, expected] of controls) {
  test(`${title} of the Control page takes effect and ends with a reset`, async (t) => {
    const core = new Core();
    const before = read(core);
    t.not(before, expected);
    t.is(await send(core, [...NO_DESCRIPTOR, ...(await changed(core, CONTROL, bytes))]), 'GOOD');
    t.is(read(core), expected);
    core.disk.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, undefined);
    t.is(read(core), before);
  });
}

test('SWP shows in WP and refuses writes with 27/02', async (t) => {
  const core = new Core();
  await send(core, [...NO_DESCRIPTOR, ...(await changed(core, CONTROL, { 4: 0x08 }))]);
  t.is((await ask(core.initiator, modeSense6(0x3f))).dataIn[2] & 0x80, 0x80);
  const write = await core.initiator.send({ cdb: cdb10(0x2a, 0, 1), dataOut: new Uint8Array(512) });
  t.is(outcome(write), '7/27/02');
});

test('turning WCE off flushes what the cache still held; a failing flush leaves it on', async (t) => {
  const core = new Core();
  const list = [...NO_DESCRIPTOR, ...(await changed(core, 0x08, { 2: 0 }))];
  core.backstore.fault = { kind: OperationKind.FLUSH, outcome: Outcome.MEDIUM_ERROR };
  t.true((await send(core, list)).startsWith('3/0c/00'));
  t.true(core.disk.writeCacheEnabled);
  core.backstore.fault = undefined;
  t.is(await send(core, list), 'GOOD');
  t.false(core.disk.writeCacheEnabled);
  t.is(core.backstore.log.filter(({ kind }) => kind === OperationKind.FLUSH).length, 2);
});

test('a reset that turns WCE off again flushes what the cache still held', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  const on = await changed(core, 0x08, {});
  t.is(await send(core, [...NO_DESCRIPTOR, ...(await changed(core, 0x08, { 2: 0 }))], PF | SP), 'GOOD');
  t.is(await send(core, [...NO_DESCRIPTOR, ...on]), 'GOOD');
  t.true(core.disk.writeCacheEnabled);
  core.backstore.log.length = 0;
  core.disk.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, undefined);
  t.false(core.disk.writeCacheEnabled);
  await new Promise(setImmediate);
  t.deepEqual(
    core.backstore.log.map(({ kind }) => kind),
    [OperationKind.FLUSH],
  );
});

test('a cache that cannot be flushed at a reset stays on, so that the next flush is asked for and tells', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  const on = await changed(core, 0x08, {});
  await send(core, [...NO_DESCRIPTOR, ...(await changed(core, 0x08, { 2: 0 }))], PF | SP);
  await send(core, [...NO_DESCRIPTOR, ...on]);
  core.backstore.fault = { kind: OperationKind.FLUSH, outcome: Outcome.MEDIUM_ERROR };
  core.disk.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, undefined);
  await new Promise(setImmediate);
  core.backstore.fault = undefined;
  t.true(core.disk.writeCacheEnabled);
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), '6/29/03');
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), '6/2a/01');
  t.deepEqual(await pageOf(core, 0x08), on);
  t.true(outcome(await core.initiator.send({ cdb: cdb10(0x35, 0, 0) })).startsWith('3/0c/00'));
  t.is(outcome(await core.initiator.send({ cdb: cdb10(0x35, 0, 0) })), 'GOOD');
});

test('the other initiators hear of a change, the one that made it does not', async (t) => {
  const core = new Core();
  const other = core.connect('naa.5000000000000002');
  await send(core, [...NO_DESCRIPTOR, ...(await changed(core, 0x08, {}))]);
  t.is(outcome(await other.send({ cdb: TEST_UNIT_READY })), 'GOOD', 'nothing changed');
  await send(core, [...NO_DESCRIPTOR, ...(await changed(core, 0x08, { 2: 0 }))]);
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
  t.is(outcome(await other.send({ cdb: TEST_UNIT_READY })), '6/2a/01');
});

test('saved values come back after a restart, unsaved ones do not', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  await send(core, [...NO_DESCRIPTOR, ...(await changed(core, 0x08, { 2: 0 }))], PF | SP);
  await send(core, [...NO_DESCRIPTOR, ...(await changed(core, CONTROL, { 4: 0x08 }))]);
  t.is((await pageOf(core, CONTROL, 3))[4], 0);
  t.is((await pageOf(core, 0x08, 3))[2], 0);
  const restarted = new Core({ store });
  t.false(restarted.disk.writeCacheEnabled);
  t.false(restarted.disk.writeProtected);
  t.is((await pageOf(restarted, 0x08, 2))[2], 0x04, 'the default is still the default');
});

test('GOOD for SP waits for stable storage, and a failed save changes nothing', async (t) => {
  const store = new TestStore();
  let finishSave: (() => void) | undefined;
  store.save = () => new Promise((resolve) => (finishSave = resolve));
  const core = new Core({ store });
  const list = [...NO_DESCRIPTOR, ...(await changed(core, CONTROL, { 5: 0 }))];
  const running = send(core, list, PF | SP);
  let ended = false;
  void running.then(() => (ended = true));
  await new Promise((resolve) => setImmediate(resolve));
  t.false(ended);
  finishSave!();
  t.is(await running, 'GOOD');
  store.save = () => Promise.reject(new Error('disk full'));
  const back = [...NO_DESCRIPTOR, ...(await changed(core, CONTROL, { 5: 0x40 }))];
  t.is(await send(core, back, PF | SP), '4/44/00');
  t.false(core.disk.control.tas);
});

test('a store with nonsense in it gives the defaults', async (t) => {
  for (const text of ['{}', '{"8/0":[1,2]}', '{"8/0":"x"}', '{"10/0":[10,10,255,255,255,255,0,0,0,0,0,0]}']) {
    const store = new TestStore();
    store.texts.set('mode-pages', text);
    const core = new Core({ store });
    t.true(core.disk.writeCacheEnabled);
    t.is(core.disk.control.tst, 0);
  }
});

test('a store with something else in it keeps the disk from starting, which could be write-protected', (t) => {
  for (const text of ['', '{"8/0"', '[]', 'null']) {
    const store = new TestStore();
    store.texts.set('mode-pages', text);
    t.throws(() => new Core({ store }), { code: 'LUNPORT_DAMAGED_STATE' });
  }
});

test('RTD goes back to the defaults', async (t) => {
  const core = new Core();
  await send(core, [...NO_DESCRIPTOR, ...(await changed(core, CONTROL, { 4: 0x08, 5: 0 }))]);
  t.is(outcome(await core.initiator.send({ cdb: select6(0, RTD) })), 'GOOD');
  t.false(core.disk.control.swp);
  t.true(core.disk.control.tas);
});

interface Refusal {
  readonly title: string;
  readonly list: (core: Core) => number[] | Promise<number[]>;
  readonly expected: string;
  readonly flags?: number;
  readonly options?: CoreOptions;
}

const withPage = (code: number, bytes: Record<number, number>) => async (core: Core) => [
  ...NO_DESCRIPTOR,
  ...(await changed(core, code, bytes)),
];

const refusals: Refusal[] = [
  { title: 'a list shorter than its header', list: () => [0, 0, 0], expected: '5/1a/00' },
  { title: 'a descriptor that is cut', list: () => [0, 0, 0, 8, 0, 0, 0], expected: '5/1a/00' },
  { title: 'a page header that is cut', list: () => [...NO_DESCRIPTOR, 0x08], expected: '5/1a/00' },
  { title: 'a page that is cut', list: () => [...NO_DESCRIPTOR, 0x08, 0x12, 4], expected: '5/1a/00' },
  { title: 'a medium type', list: () => [0, 1, 0, 0], expected: '5/26/00#1' },
  { title: 'a descriptor of another length', list: () => [0, 0, 0, 4, 0, 0, 0, 0], expected: '5/26/00#3' },
  {
    title: 'another capacity',
    list: () => [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 2, 0],
    expected: '5/26/00#4',
  },
  {
    title: 'another block size',
    list: () => [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 16, 0],
    expected: '5/26/00#9',
  },
  { title: 'an unknown page', list: () => [...NO_DESCRIPTOR, 0x05, 0], expected: '5/26/00#4.5' },
  { title: 'page 3F', list: () => [...NO_DESCRIPTOR, 0x3f, 0], expected: '5/26/00#4.5' },
  { title: 'an unknown subpage', list: () => [...NO_DESCRIPTOR, 0x4a, 0x77, 0, 0], expected: '5/26/00#5' },
  { title: 'a page of another length', list: () => [...NO_DESCRIPTOR, 0x08, 0x10], expected: '5/26/00#5' },
  { title: 'a bit that cannot change', list: withPage(0x08, { 2: 0x05 }), expected: '5/26/00#6.0' },
  { title: 'a TST that there is not', list: withPage(CONTROL, { 2: 0x42 }), expected: '5/26/00#6.7' },
  { title: 'a QERR that is reserved', list: withPage(CONTROL, { 3: 0x14 }), expected: '5/26/00#7.2' },
  { title: 'an interlock that is reserved', list: withPage(CONTROL, { 4: 0x10 }), expected: '5/26/00#8.5' },
  {
    title: 'WCE where there is no cache',
    list: withPage(0x08, { 2: 4 }),
    expected: '5/26/00#6.2',
    options: { capabilities: { volatileCache: false } },
  },
  { title: 'SP without a store', list: () => NO_DESCRIPTOR, flags: PF | SP, expected: '5/24/00@1.0' },
  { title: 'a list without PF', list: () => NO_DESCRIPTOR, flags: 0, expected: '5/24/00@1.4' },
  { title: 'a list with RTD', list: () => NO_DESCRIPTOR, flags: PF | RTD, expected: '5/24/00@1.1' },
];

for (const { title, list, expected, flags, options } of refusals) {
  test(`MODE SELECT refuses ${title}`, async (t) => {
    const core = new Core(options);
    const before = await pageOf(core, CONTROL);
    t.is(await send(core, await list(core), flags), expected);
    t.deepEqual(await pageOf(core, CONTROL), before);
  });
}

test('one wrong page in a list changes none of them', async (t) => {
  const core = new Core();
  const list = [...NO_DESCRIPTOR, ...(await changed(core, 0x08, { 2: 0 })), 0x3f, 0];
  t.is(await send(core, list), '5/26/00#24.5');
  t.true(core.disk.writeCacheEnabled);
});

test('fewer bytes than the CDB announces are a length error', async (t) => {
  const { initiator } = new Core();
  const result = await initiator.send({ cdb: select6(24), dataOut: new Uint8Array(4) });
  t.is(outcome(result), '5/1a/00');
});

test('a parameter list of 0 bytes changes nothing and is no error', async (t) => {
  const { initiator } = new Core();
  t.is(outcome(await initiator.send({ cdb: select6(0) })), 'GOOD');
  t.is(outcome(await initiator.send({ cdb: select10(0) })), 'GOOD');
});

test('random lists are parsed or refused, never thrown at', (t) => {
  const { disk } = new Core();
  const page = fc.constantFrom(...disk.modeParameters.pages).chain((row) =>
    fc.tuple(fc.constant(row.defaults(disk)), fc.nat(), fc.integer({ min: 0, max: 255 })).map((parts) => {
      const [values, at, byte] = parts;
      values[at % values.length] = byte;
      return values;
    }),
  );
  const list = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc
      .array(page, { maxLength: 3 })
      .map((pages) => Uint8Array.from([0, 0, 0, 0, ...pages.flatMap((p) => [...p])])),
  );
  fc.assert(
    fc.property(list, fc.constantFrom(4, 8), (bytes, headerLength) => {
      const parsed = parseModeParameters(disk, bytes, headerLength);
      if ('error' in parsed)
        return parsed.error === 'truncated' || parsed.error.byte < Math.max(bytes.length, 1);
      return parsed.changes.every(({ page: row, values }) => values.length === row.defaults(disk).length);
    }),
  );
  t.pass();
});
