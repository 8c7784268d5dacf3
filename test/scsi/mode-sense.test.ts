import test from 'ava';
import { u16, u24, u32, u64 } from '../../src/scsi/bytes.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core, type CoreOptions, TestStore } from '../support/core.ts';
import { ask, modeSense6, modeSense10 } from '../support/primary-cdbs.ts';

/** Page code and subpage code of each page in a list that starts at `at`. */
function pageCodes(list: Uint8Array, at: number): string[] {
  const codes: string[] = [];
  while (at < list.length) {
    const long = (list[at] & 0x40) !== 0;
    codes.push(`${(list[at] & 0x3f).toString(16)}/${long ? list[at + 1] : 0}`);
    at += long ? 4 + u16(list, at + 2) : 2 + list[at + 1];
  }
  return codes;
}

test('MODE SENSE(6) has a header of four bytes and a block descriptor of eight', async (t) => {
  const { initiator } = new Core();
  const { dataIn } = await ask(initiator, modeSense6(0x08));
  t.is(dataIn[0], dataIn.length - 1);
  t.is(dataIn[2], 0x10, 'DPOFUA, not WP');
  t.is(dataIn[3], 8);
  t.is(u32(dataIn, 4), 2048);
  t.is(u24(dataIn, 9), 512);
  t.deepEqual(pageCodes(dataIn, 12), ['8/0']);
});

test('MODE SENSE(10) has a header of eight bytes and a long descriptor when LLBAA allows it', async (t) => {
  const { initiator } = new Core();
  const short = (await ask(initiator, modeSense10(0x08))).dataIn;
  t.is(u16(short, 0), short.length - 2);
  t.is(short[4], 0);
  t.is(u16(short, 6), 8);
  const long = (await ask(initiator, modeSense10(0x08, { flags: 0x10 }))).dataIn;
  t.is(long[4], 1, 'LONGLBA');
  t.is(u16(long, 6), 16);
  t.is(u64(long, 8), 2048);
  t.is(u32(long, 20), 512);
});

test('a short descriptor says FFFFFFFFh when there are more blocks', async (t) => {
  const core = new Core();
  core.disk.blockCount = 0x1_0000_0000;
  const { dataIn } = await ask(core.initiator, modeSense6(0x08));
  t.is(u32(dataIn, 4), 0xffff_ffff);
});

test('DBD leaves the block descriptor out', async (t) => {
  const { initiator } = new Core();
  const { dataIn } = await ask(initiator, modeSense6(0x08, { flags: 0x08 }));
  t.is(dataIn[3], 0);
  t.deepEqual(pageCodes(dataIn, 4), ['8/0']);
});

const ALL = ['1/0', '3/0', '4/0', '8/0', 'a/0', '1a/0', '1c/0'];
const lists: [string, number, number, string[]][] = [
  ['page 3F without subpages', 0x3f, 0, ALL],
  ['page 0A with all subpages', 0x0a, 0xff, ['a/0', 'a/1']],
  ['the Control Extension subpage', 0x0a, 1, ['a/1']],
];

for (const [title, code, subpage, expected] of lists) {
  test(`MODE SENSE of ${title}`, async (t) => {
    const { initiator } = new Core();
    const { dataIn } = await ask(initiator, modeSense10(code, { subpage, flags: 0x08 }));
    t.deepEqual(pageCodes(dataIn, 8), expected);
  });
}

test('page 3F with all subpages has every page once, in ascending order', async (t) => {
  const core = new Core();
  const { dataIn } = await ask(core.initiator, modeSense10(0x3f, { subpage: 0xff, flags: 0x08 }));
  t.deepEqual(
    pageCodes(dataIn, 8),
    core.disk.modeParameters.pages.map(({ code, subpage }) => `${code.toString(16)}/${subpage}`),
  );
});

const refusals: [string, number[], string][] = [
  ['a page that there is not', modeSense6(0x05), '5/24/00@2.5'],
  ['a subpage that there is not', modeSense6(0x0a, { subpage: 0x77 }), '5/24/00@3'],
  ['saved values without a store', modeSense6(0x08, { control: 3 }), '5/39/00'],
];

for (const [title, cdb, expected] of refusals) {
  test(`MODE SENSE refuses ${title}`, async (t) => {
    const { initiator } = new Core();
    t.is(outcome(await ask(initiator, cdb)), expected);
  });
}

const headers: [string, CoreOptions, number][] = [
  ['WP of a read-only disk', { capabilities: { readOnly: true } }, 0x90],
  ['DPOFUA off', { attributes: { emulate_fua_write: 0 } }, 0x00],
];

for (const [title, options, expected] of headers) {
  test(`the device-specific parameter: ${title}`, async (t) => {
    const { initiator } = new Core(options);
    t.is((await ask(initiator, modeSense6(0x3f))).dataIn[2], expected);
    t.is((await ask(initiator, modeSense10(0x3f))).dataIn[3], expected);
  });
}

test('a mapping of its own can be write-protected', async (t) => {
  const core = new Core();
  core.lunMap.add(1, core.disk, true);
  for (const itl of core.initiator.nexus.itlNexuses()) itl.unitAttentions.clearAll();
  t.is((await ask(core.initiator, modeSense6(0x3f), 1)).dataIn[2], 0x90);
  t.is((await ask(core.initiator, modeSense6(0x3f), 0)).dataIn[2], 0x10);
});

const caches: [string, CoreOptions, number, number][] = [
  ['volatile, on', {}, 0x04, 0x04],
  ['volatile, off by attribute', { attributes: { emulate_write_cache: 0 } }, 0x00, 0x04],
  ['none', { capabilities: { volatileCache: false } }, 0x00, 0x00],
];

for (const [title, options, wce, changeable] of caches) {
  test(`WCE with a write cache that is ${title}`, async (t) => {
    const core = new Core(options);
    const current = (await ask(core.initiator, modeSense6(0x08, { flags: 8 }))).dataIn;
    t.is(current[4 + 2], wce);
    t.is(core.disk.writeCacheEnabled, wce !== 0);
    const mask = (await ask(core.initiator, modeSense6(0x08, { flags: 8, control: 1 }))).dataIn;
    t.deepEqual([...mask.subarray(4, 7)], [0x08, 0x12, changeable]);
    t.true(mask.subarray(7).every((byte) => byte === 0));
  });
}

test('PS marks what can be saved, and only with a store', async (t) => {
  for (const [store, expected] of [
    [undefined, 0x0a],
    [new TestStore(), 0x8a],
  ] as const) {
    const { initiator } = new Core({ store });
    t.is((await ask(initiator, modeSense6(0x0a, { flags: 8 }))).dataIn[4], expected);
    t.is((await ask(initiator, modeSense6(0x01, { flags: 8 }))).dataIn[4], 0x01);
  }
});

test('the geometry multiplies to no more than the capacity and never to nothing', async (t) => {
  for (const blocks of [1, 2048, 16065 * 100 + 7, 2 ** 40]) {
    const core = new Core();
    core.disk.blockCount = blocks;
    const { dataIn } = await ask(core.initiator, modeSense6(0x04, { flags: 8 }));
    const cylinders = u24(dataIn, 4 + 2);
    t.is(cylinders, Math.min(Math.max(1, Math.floor(blocks / 16065)), 0xff_ffff));
    t.is(dataIn[4 + 5], 255);
  }
});

test('an allocation length of four gets four bytes and no overflow', async (t) => {
  const { initiator } = new Core();
  const result = await initiator.send({ cdb: [0x1a, 0, 0x3f, 0, 4, 0], dataInLength: 4 });
  t.is(result.dataIn.length, 4);
  t.is(result.residual, 0);
});
