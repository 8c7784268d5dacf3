import test from 'ava';
import { OperationKind } from '../../src/scsi/backstore.ts';
import { cdb10, cdb16, outcome, pattern } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';

const { WRITE, WRITE_ZEROES, UNMAP } = OperationKind;
const FLAG = { UNMAP: 0x08, ANCHOR: 0x10, NDOB: 0x01, WRPROTECT: 0x20 };
const ZERO = new Uint8Array(512);
const DATA = pattern(512, 1);
const NOTHING = new Uint8Array(0);

const rows: [string, CoreOptions, Uint8Array, Uint8Array, string, number[]][] = [
  ['of a pattern', {}, cdb10(0x41, 5, 3), DATA, 'GOOD', [WRITE]],
  ['of zeroes', {}, cdb10(0x41, 5, 3), ZERO, 'GOOD', [WRITE_ZEROES]],
  [
    'of zeroes, without WRITE_ZEROES',
    { capabilities: { writeZeroes: false } },
    cdb10(0x41, 5, 3),
    ZERO,
    'GOOD',
    [WRITE],
  ],
  ['of zeroes with UNMAP', {}, cdb10(0x41, 5, 3, FLAG.UNMAP), ZERO, 'GOOD', [UNMAP]],
  ['of a pattern with UNMAP', {}, cdb10(0x41, 5, 3, FLAG.UNMAP), DATA, 'GOOD', [WRITE]],
  [
    'with UNMAP where unmapped blocks read as anything',
    { capabilities: { unmapReadsZero: false } },
    cdb10(0x41, 5, 3, FLAG.UNMAP),
    ZERO,
    'GOOD',
    [WRITE_ZEROES],
  ],
  [
    'with UNMAP on a thick disk',
    { capabilities: { unmap: false } },
    cdb10(0x41, 5, 3, FLAG.UNMAP),
    ZERO,
    '5/24/00@1.3',
    [],
  ],
  [
    'with emulate_tpws=0',
    { attributes: { emulate_tpws: 0 } },
    cdb16(0x93, 5, 3, FLAG.UNMAP),
    ZERO,
    '5/24/00@1.3',
    [],
  ],
  ['with ANCHOR', {}, cdb10(0x41, 5, 3, FLAG.UNMAP | FLAG.ANCHOR), ZERO, '5/24/00@1.4', []],
  ['with ANCHOR and no UNMAP', {}, cdb16(0x93, 5, 3, FLAG.ANCHOR), ZERO, '5/24/00@1.4', []],
  ['with WRPROTECT', {}, cdb10(0x41, 5, 3, FLAG.WRPROTECT), DATA, '5/24/00@1.7', []],
  ['with NDOB', {}, cdb16(0x93, 5, 3, FLAG.NDOB), NOTHING, 'GOOD', [WRITE_ZEROES]],
  ['with NDOB and UNMAP', {}, cdb16(0x93, 5, 3, FLAG.NDOB | FLAG.UNMAP), NOTHING, 'GOOD', [UNMAP]],
  ['(10) with NDOB, which it has not', {}, cdb10(0x41, 5, 3, FLAG.NDOB), NOTHING, '5/24/00@1.0', []],
  ['without data', {}, cdb16(0x93, 5, 3), NOTHING, '5/24/00@10', []],
  ['with half a block', {}, cdb10(0x41, 5, 3), DATA.subarray(0, 256), '5/24/00@7', []],
  ['with two blocks', {}, cdb10(0x41, 5, 3), pattern(1024, 1), '5/24/00@7', []],
  ['past the end', {}, cdb16(0x93, 2040, 9), DATA, '5/21/00@2', []],
  ['at the end, of 0 blocks', {}, cdb16(0x93, 2048, 0), DATA, '5/21/00@2', []],
  ['of 0 blocks: up to the end', {}, cdb10(0x41, 2000, 0), ZERO, 'GOOD', [WRITE_ZEROES]],
  [
    'of 0 blocks, too many',
    { attributes: { max_write_same_len: 47 } },
    cdb10(0x41, 2000, 0),
    ZERO,
    '5/24/00@7',
    [],
  ],
  [
    'of 0 blocks, just as many',
    { attributes: { max_write_same_len: 48 } },
    cdb10(0x41, 2000, 0),
    ZERO,
    'GOOD',
    [WRITE_ZEROES],
  ],
  [
    'of more blocks than allowed',
    { attributes: { max_write_same_len: 47 } },
    cdb16(0x93, 0, 48),
    ZERO,
    '5/24/00@10',
    [],
  ],
  [
    'without a limit',
    { attributes: { max_write_same_len: 0 } },
    cdb16(0x93, 0, 2048),
    ZERO,
    'GOOD',
    [WRITE_ZEROES],
  ],
  ['on a read-only disk', { capabilities: { readOnly: true } }, cdb16(0x93, 5, 3), DATA, '7/27/00', []],
];
for (const [title, options, cdb, dataOut, expected, kinds] of rows) {
  test(`WRITE SAME ${title}: ${expected}`, async (t) => {
    const core = new Core(options);
    t.is(outcome(await core.initiator.send({ cdb, dataOut })), expected);
    t.deepEqual(
      core.backstore.log.map(({ kind }) => kind),
      kinds,
    );
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('WRITE SAME repeats the block over the range and nowhere else, also beyond one chunk', async (t) => {
  const core = new Core({ byteLength: 2 << 20 });
  const result = await core.initiator.send({ cdb: cdb16(0x93, 1, 3000), dataOut: DATA });
  t.is(outcome(result), 'GOOD');
  t.true(core.backstore.log.length > 1);
  const expected = new Uint8Array(core.backstore.byteLength);
  for (let lba = 1; lba <= 3000; lba++) expected.set(DATA, lba * 512);
  t.deepEqual(core.backstore.bytes, expected);
});

test('WRITE SAME of 0 blocks reaches exactly the end', async (t) => {
  const core = new Core();
  await core.initiator.send({ cdb: cdb10(0x41, 2046, 0), dataOut: DATA });
  const { bytes } = core.backstore;
  t.deepEqual(bytes.subarray(2046 * 512, 2047 * 512), DATA);
  t.deepEqual(bytes.subarray(2047 * 512), DATA);
  t.is(bytes[2046 * 512 - 1], 0);
});

test('without a write cache, what WRITE SAME wrote is stable', async (t) => {
  const core = new Core({ attributes: { emulate_write_cache: 0 } });
  await core.initiator.send({ cdb: cdb10(0x41, 0, 1), dataOut: DATA });
  t.true(core.backstore.log[0].fua);
});
