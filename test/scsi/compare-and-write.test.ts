import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { outcome, pattern } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';

function cdb(lba: number, blocks: number, flags = 0): number[] {
  return [0x89, flags, 0, 0, 0, 0, 0, 0, lba >> 8, lba & 0xff, 0, 0, 0, blocks, 0, 0];
}

/** The blocks to compare with, then those to write. */
function buffers(expected: Uint8Array, replacement: Uint8Array): Uint8Array {
  const data = new Uint8Array(expected.length + replacement.length);
  data.set(expected);
  data.set(replacement, expected.length);
  return data;
}

for (const blocks of [1, 2, 17, 255]) {
  test(`COMPARE AND WRITE of ${blocks} blocks replaces what it found as expected`, async (t) => {
    const core = new Core();
    const old = pattern(blocks * 512, 1);
    const next = pattern(blocks * 512, 2);
    core.backstore.bytes.set(old, 512 * 40);
    const result = await core.initiator.send({ cdb: cdb(40, blocks), dataOut: buffers(old, next) });
    t.is(outcome(result), 'GOOD');
    t.is(result.residual, 0);
    t.deepEqual(core.backstore.bytes.slice(512 * 40, 512 * (40 + blocks)), next);
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('a miscompare names the first byte that differs and writes nothing', async (t) => {
  const core = new Core();
  const expected = pattern(4 * 512, 1);
  core.backstore.bytes.set(expected, 0);
  core.backstore.bytes[1234] ^= 0xff;
  core.backstore.bytes[2000] ^= 0xff;
  const before = core.backstore.bytes.slice();
  const result = await core.initiator.send({
    cdb: cdb(0, 4),
    dataOut: buffers(expected, new Uint8Array(4 * 512)),
  });
  t.is(outcome(result), 'e/1d/00 i1234');
  t.deepEqual(core.backstore.bytes, before);
  t.true(core.backstore.log.every(({ kind }) => kind === OperationKind.READ));
});

const rows: [string, CoreOptions, number[], number, string][] = [
  ['of no blocks', {}, cdb(0, 0), 0, 'GOOD'],
  ['of no blocks past the end', {}, cdb(2049, 0), 0, '5/21/00@2'],
  ['past the end', {}, cdb(2047, 2), 2048, '5/21/00@2'],
  ['with too little data', {}, cdb(0, 2), 1024, '5/24/00@13'],
  ['with too much data', {}, cdb(0, 2), 4096, '5/24/00@13'],
  ['without data', {}, cdb(0, 1), 0, '5/24/00@13'],
  ['with WRPROTECT', {}, cdb(0, 1, 0x20), 1024, '5/24/00@1.7'],
  ['with DPO and FUA', {}, cdb(0, 1, 0x18), 1024, 'GOOD'],
  [
    'with FUA that is not offered',
    { attributes: { emulate_fua_write: 0 } },
    cdb(0, 1, 0x08),
    1024,
    '5/24/00@1.3',
  ],
  ['turned off', { attributes: { emulate_caw: 0 } }, cdb(0, 1), 1024, '5/20/00@0'],
  ['on a read-only disk', { capabilities: { readOnly: true } }, cdb(0, 1), 1024, '7/27/00'],
];
for (const [title, options, bytes, length, expected] of rows) {
  test(`COMPARE AND WRITE ${title}: ${expected}`, async (t) => {
    const core = new Core(options);
    const dataOut = new Uint8Array(length);
    t.is(outcome(await core.initiator.send({ cdb: bytes, dataOut })), expected);
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('FUA reaches the backstore', async (t) => {
  const { initiator, backstore } = new Core();
  await initiator.send({ cdb: cdb(0, 1, 0x08), dataOut: new Uint8Array(1024) });
  t.deepEqual(
    backstore.log.map(({ kind, fua }) => [kind, fua]),
    [
      [OperationKind.READ, false],
      [OperationKind.WRITE, true],
    ],
  );
});

test('a medium error while comparing or writing ends the command and frees the range', async (t) => {
  const { initiator, backstore, disk } = new Core();
  for (const kind of [OperationKind.READ, OperationKind.WRITE]) {
    backstore.fault = { kind, outcome: Outcome.MEDIUM_ERROR, at: 512 };
    const result = await initiator.send({ cdb: cdb(0, 2), dataOut: new Uint8Array(2048) });
    t.is(outcome(result), kind === OperationKind.READ ? '3/11/00 i1' : '3/0c/00 i1');
    t.is(disk.rangeLocks.held, 0);
  }
});
