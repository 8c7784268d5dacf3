import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { putU16, u16, u64 } from '../../src/scsi/bytes.ts';
import { cdb10, outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';
import { ask, TEST_UNIT_READY } from '../support/primary-cdbs.ts';

interface LogOptions {
  readonly subpage?: number;
  /** PAGE CONTROL; default 1, cumulative. */
  readonly control?: number;
  readonly pointer?: number;
  readonly allocationLength?: number;
}

function logSense(page: number, options: LogOptions = {}): Uint8Array {
  const { subpage = 0, control = 1, pointer = 0, allocationLength = 4096 } = options;
  const cdb = Uint8Array.of(0x4d, 0, (control << 6) | page, subpage, 0, 0, 0, 0, 0, 0);
  putU16(cdb, 5, pointer);
  putU16(cdb, 7, allocationLength);
  return cdb;
}

const logSelect = (flags: number, page: number, control = 1, length = 0) => [
  0x4c,
  flags,
  (control << 6) | page,
  0,
  0,
  0,
  0,
  0,
  length,
  0,
];

/** Values of a page's parameters by their codes. */
function parameters(page: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = 4; at < page.length; at += 4 + page[at + 3]) {
    found.set(u16(page, at), page.slice(at + 4, at + 4 + page[at + 3]));
  }
  return found;
}

async function page(core: Core, code: number, options: LogOptions = {}): Promise<Map<number, Uint8Array>> {
  return parameters((await ask(core.initiator, logSense(code, options))).dataIn);
}

const write = (core: Core, flags = 0) =>
  core.initiator.send({ cdb: cdb10(0x2a, 0, 2, flags), dataOut: new Uint8Array(1024) });
const read = (core: Core) => ask(core.initiator, cdb10(0x28, 0, 4));

test('every page that is listed can be read, with subpages and without', async (t) => {
  const core = new Core();
  const { dataIn: list } = await ask(core.initiator, logSense(0x00));
  t.deepEqual([...list.subarray(4)], [0x00, 0x02, 0x03, 0x05, 0x0d, 0x0e, 0x10, 0x19, 0x2f]);
  const { dataIn: pairs } = await ask(core.initiator, logSense(0x00, { subpage: 0xff }));
  t.is(pairs[0], 0xc0, 'DS and SPF');
  for (let at = 4; at < pairs.length; at += 2) {
    const [code, subpage] = [pairs[at], pairs[at + 1]];
    const { dataIn } = await ask(core.initiator, logSense(code, { subpage }));
    t.is(dataIn[0] & 0x3f, code);
    t.is(dataIn[1], subpage);
    t.is(u16(dataIn, 2) + 4, dataIn.length);
  }
  const { dataIn: subpages } = await ask(core.initiator, logSense(0x19, { subpage: 0xff }));
  t.deepEqual([...subpages.subarray(4)], [0x19, 0x00, 0x19, 0x20]);
});

test('general statistics count commands and blocks', async (t) => {
  const core = new Core();
  await write(core);
  await read(core);
  await read(core);
  const value = (await page(core, 0x19)).get(1)!;
  t.deepEqual(
    [0, 8, 16, 24].map((at) => u64(value, at)),
    [2, 1, 2, 8],
  );
});

test('error counters count bytes and failures by what was done', async (t) => {
  const core = new Core();
  await write(core);
  await read(core);
  await ask(core.initiator, cdb10(0x2f, 0, 3));
  core.backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR };
  await read(core);
  await ask(core.initiator, cdb10(0x2f, 0, 1));
  const counters = async (code: number) => {
    const found = await page(core, code);
    return [u64(found.get(5)!, 0), u64(found.get(6)!, 0)];
  };
  t.deepEqual(await counters(0x02), [1024, 0]);
  t.deepEqual(await counters(0x03), [2048, 1]);
  t.deepEqual(await counters(0x05), [1536, 1]);
});

test('only writes that stay in the cache are write cache hits', async (t) => {
  const core = new Core();
  await write(core);
  await write(core, 0x08);
  t.is(u64((await page(core, 0x19, { subpage: 0x20 })).get(3)!, 0), 1);
});

test('start-stop and load cycles are counted', async (t) => {
  const core = new Core();
  for (const flags of [0, 1, 0, 1]) await core.initiator.send({ cdb: [0x1b, 0, 0, 0, flags, 0] });
  const found = await page(core, 0x0e);
  t.deepEqual([...found.get(4)!], [0, 0, 0, 2]);
  t.deepEqual([...found.get(6)!], [0, 0, 0, 0]);
});

test('there is no temperature and no exception to report', async (t) => {
  const core = new Core();
  t.deepEqual([...(await page(core, 0x0d)).get(0)!], [0, 0xff]);
  t.deepEqual([...(await page(core, 0x2f)).get(0)!], [0, 0, 0xff, 0]);
});

test('a parameter pointer starts the page there', async (t) => {
  const core = new Core();
  t.deepEqual([...(await page(core, 0x02, { pointer: 6 })).keys()], [6]);
  t.is(outcome(await ask(core.initiator, logSense(0x02, { pointer: 7 }))), '5/24/00@5');
});

test('default values of counters are 0', async (t) => {
  const core = new Core();
  await write(core);
  t.is(u64((await page(core, 0x02, { control: 3 })).get(5)!, 0), 0);
});

const refusals: [string, ArrayLike<number>, string][] = [
  ['an unknown page', logSense(0x3e), '5/24/00@2.5'],
  ['an unknown subpage', logSense(0x19, { subpage: 0x55 }), '5/24/00@3'],
  ['thresholds', logSense(0x02, { control: 0 }), '5/24/00@2.7'],
  ['SP', [0x4d, 1, 0x40, 0, 0, 0, 0, 0, 4, 0], '5/24/00@1.0'],
  ['LOG SELECT of parameters', logSelect(0, 0x02, 1, 4), '5/24/00@7'],
  ['LOG SELECT of an unknown page', logSelect(2, 0x3e), '5/24/00@2.5'],
  ['LOG SELECT of thresholds', logSelect(0, 0x02, 0), '5/24/00@2.7'],
];

for (const [title, cdb, expected] of refusals) {
  test(`${title} is refused`, async (t) => {
    t.is(outcome(await ask(new Core().initiator, cdb)), expected);
  });
}

const resets: [string, number[], number, number][] = [
  ['PCR for one page', logSelect(2, 0x02), 0, 2],
  ['PCR for all pages', logSelect(2, 0x00), 0, 0],
  ['default values for one page', logSelect(0, 0x02, 3), 0, 2],
  ['current values', logSelect(0, 0x02, 1), 1024, 2],
];

for (const [title, cdb, bytes, blocks] of resets) {
  test(`LOG SELECT with ${title}`, async (t) => {
    const core = new Core();
    const other = core.connect('naa.5000000000000002');
    await write(core);
    t.is(outcome(await core.initiator.send({ cdb })), 'GOOD');
    t.is(u64((await page(core, 0x02)).get(5)!, 0), bytes);
    t.is(u64((await page(core, 0x19)).get(1)!, 16), blocks);
    t.is(outcome(await other.send({ cdb: TEST_UNIT_READY })), bytes === 0 ? '6/2a/02' : 'GOOD');
    await write(core);
    t.is(u64((await page(core, 0x02)).get(5)!, 0), bytes + 1024);
  });
}
