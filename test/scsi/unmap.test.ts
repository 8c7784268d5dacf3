import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { putU16, putU32, putU64 } from '../../src/scsi/bytes.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';

/** An UNMAP parameter list of [LBA, blocks] descriptors. */
function parameterList(...extents: [number, number][]): Uint8Array {
  const list = new Uint8Array(8 + 16 * extents.length);
  putU16(list, 0, list.length - 2);
  putU16(list, 2, list.length - 8);
  for (const [i, [lba, blocks]] of extents.entries()) {
    putU64(list, 8 + 16 * i, lba);
    putU32(list, 16 + 16 * i, blocks);
  }
  return list;
}

function unmap(core: Core, list: Uint8Array, length = list.length) {
  return core.initiator.send({
    cdb: [0x42, 0, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0],
    dataOut: list,
  });
}

const limits: CoreOptions = { attributes: { max_unmap_lba_count: 100, max_unmap_block_desc_count: 3 } };
const rows: [string, Uint8Array, string, [number, number][]][] = [
  ['one range', parameterList([10, 20]), 'GOOD', [[10, 20]]],
  [
    'two ranges',
    parameterList([10, 20], [100, 1]),
    'GOOD',
    [
      [10, 20],
      [100, 1],
    ],
  ],
  [
    'overlapping ranges',
    parameterList([10, 20], [15, 20]),
    'GOOD',
    [
      [10, 20],
      [15, 20],
    ],
  ],
  ['the last block', parameterList([2047, 1]), 'GOOD', [[2047, 1]]],
  ['a range of no blocks', parameterList([10, 0]), 'GOOD', []],
  ['a range of no blocks at the end', parameterList([2048, 0]), 'GOOD', []],
  ['no range', parameterList(), 'GOOD', []],
  [
    'as many blocks as are allowed',
    parameterList([0, 60], [100, 40]),
    'GOOD',
    [
      [0, 60],
      [100, 40],
    ],
  ],
  ['one block too many', parameterList([0, 60], [100, 41]), '5/26/00#32', []],
  ['one range too many', parameterList([0, 1], [2, 1], [4, 1], [6, 1]), '5/26/00#2', []],
  ['a range past the end', parameterList([0, 1], [2040, 9]), '5/21/00#24', []],
  ['an LBA that wraps around', parameterList([2 ** 64 - 2 ** 12, 100]), '5/21/00#8', []],
];
for (const [title, list, expected, done] of rows) {
  test(`UNMAP of ${title}: ${expected}`, async (t) => {
    const core = new Core(limits);
    core.backstore.bytes.fill(0xaa);
    t.is(outcome(await unmap(core, list)), expected);
    t.deepEqual(
      core.backstore.log.map(({ kind, offset, length }) => [kind, offset / 512, length / 512]),
      done.map(([lba, blocks]) => [OperationKind.UNMAP, lba, blocks]),
    );
  });
}

const lengths: [string, Uint8Array, number, string][] = [
  ['no parameter list', new Uint8Array(0), 0, 'GOOD'],
  ['half a header', new Uint8Array(7), 7, '5/1a/00'],
  ['less data than announced', parameterList([0, 1]).subarray(0, 20), 24, '5/1a/00'],
  ['descriptors beyond the list', parameterList([0, 1]), 20, '5/1a/00'],
];
for (const [title, list, length, expected] of lengths) {
  test(`UNMAP with ${title}: ${expected}`, async (t) => {
    const core = new Core();
    t.is(outcome(await unmap(core, list, length)), expected);
    t.is(core.backstore.log.length, 0);
  });
}

test('a descriptor that is cut off is ignored', async (t) => {
  const core = new Core();
  const list = parameterList([5, 1], [7, 1]);
  putU16(list, 2, 31);
  t.is(outcome(await unmap(core, list)), 'GOOD');
  t.deepEqual(
    core.backstore.log.map(({ offset }) => offset),
    [5 * 512],
  );
});

test('4 GiB are 4 GiB, not 0 bytes in 32-bit arithmetic', async (t) => {
  const core = new Core({ attributes: { max_unmap_lba_count: 0xffff_ffff } });
  core.disk.blockCount = 0x1_0000_0000;
  core.backstore.hold = true;
  const result = unmap(core, parameterList([8, 8_388_608]));
  await new Promise(setImmediate);
  t.is(core.backstore.log[0].length, 0x1_0000_0000);
  core.backstore.releaseHeld();
  t.not(outcome(await result), 'GOOD');
});

test('unmapped blocks read as zeroes', async (t) => {
  const core = new Core();
  core.backstore.bytes.fill(0xaa);
  await unmap(core, parameterList([1, 2]));
  t.deepEqual([...new Set(core.backstore.bytes.subarray(512, 1536))], [0]);
  t.is(core.backstore.bytes[511], 0xaa);
  t.is(core.backstore.bytes[1536], 0xaa);
});

test('UNMAP stops at the range that fails', async (t) => {
  const core = new Core();
  core.backstore.fault = { kind: OperationKind.UNMAP, outcome: Outcome.MEDIUM_ERROR, at: 512 * 20 };
  t.is(outcome(await unmap(core, parameterList([1, 2], [20, 1], [30, 1]))), '3/0c/00 i20');
  t.is(core.backstore.log.length, 2);
});

const refusals: [string, CoreOptions, string][] = [
  ['a thick disk', { capabilities: { unmap: false } }, '5/20/00@0'],
  ['a disk with emulate_tpu=0', { attributes: { emulate_tpu: 0 } }, '5/20/00@0'],
  ['a read-only disk', { capabilities: { readOnly: true } }, '7/27/00'],
];
for (const [title, options, expected] of refusals) {
  test(`UNMAP on ${title}: ${expected}`, async (t) => {
    const core = new Core(options);
    t.is(outcome(await unmap(core, parameterList([0, 1]))), expected);
    t.is(core.backstore.log.length, 0);
  });
}
