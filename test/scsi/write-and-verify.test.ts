import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { cdb10, cdb12, cdb16, outcome, pattern } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';

const BYTCHK = 0x02;
const forms: [string, (lba: number, blocks: number, flags?: number) => Uint8Array][] = [
  ['WRITE AND VERIFY(10)', (lba, blocks, flags) => cdb10(0x2e, lba, blocks, flags)],
  ['WRITE AND VERIFY(12)', (lba, blocks, flags) => cdb12(0xae, lba, blocks, flags)],
  ['WRITE AND VERIFY(16)', (lba, blocks, flags) => cdb16(0x8e, lba, blocks, flags)],
];
for (const [name, cdb] of forms) {
  for (const flags of [0, BYTCHK, 0x10]) {
    test(`${name} with flags ${flags} writes through to the medium and reads back`, async (t) => {
      const core = new Core();
      const data = pattern(3 * 512, 5);
      const result = await core.initiator.send({ cdb: cdb(9, 3, flags), dataOut: data });
      t.is(outcome(result), 'GOOD');
      t.is(result.residual, 0);
      t.deepEqual(core.backstore.bytes.slice(9 * 512, 12 * 512), data);
      t.deepEqual(
        core.backstore.log.map(({ kind, fua }) => [kind, fua]),
        [
          [OperationKind.WRITE, true],
          [OperationKind.READ, false],
        ],
      );
      t.is(core.environment.memory.outstanding, 0);
    });
  }
  const rows: [string, Uint8Array, number, string][] = [
    ['of no blocks', cdb(0, 0), 0, 'GOOD'],
    ['of no blocks past the end', cdb(2049, 0), 0, '5/21/00@2'],
    ['past the end', cdb(2047, 2), 1024, '5/21/00@2'],
    ['with BYTCHK 10b', cdb(0, 1, 0x04), 512, '5/24/00@1.2'],
    ['with BYTCHK 11b', cdb(0, 1, 0x06), 512, '5/24/00@1.2'],
    ['with WRPROTECT', cdb(0, 1, 0x20), 512, '5/24/00@1.7'],
    ['without data', cdb(0, 1), 0, 'GOOD'],
  ];
  for (const [title, bytes, length, expected] of rows) {
    test(`${name} ${title}: ${expected}`, async (t) => {
      const core = new Core();
      t.is(outcome(await core.initiator.send({ cdb: bytes, dataOut: pattern(length, 1) })), expected);
      t.is(core.backstore.log.length, 0);
    });
  }
}

test('a buffer shorter than the range moves its whole blocks and reports the rest as overflow', async (t) => {
  const core = new Core();
  const data = pattern(700, 1);
  const result = await core.initiator.send({ cdb: cdb10(0x2e, 0, 2, BYTCHK), dataOut: data });
  t.is(outcome(result), 'GOOD');
  t.is(result.residual, 700 - 1024);
  t.is(result.transferred, 512);
  t.deepEqual(core.backstore.bytes.slice(0, 512), data.slice(0, 512));
  t.is(core.backstore.bytes[512], 0);
});

test('a medium that returns other bytes is a miscompare, with BYTCHK only', async (t) => {
  for (const [flags, expected] of [
    [BYTCHK, 'e/1d/00 i600'],
    [0, 'GOOD'],
  ] as const) {
    const core = new Core();
    core.backstore.hold = true;
    const result = core.initiator.send({ cdb: cdb10(0x2e, 0, 2, flags), dataOut: pattern(1024, 1) });
    await new Promise(setImmediate);
    core.backstore.releaseHeld();
    await new Promise(setImmediate);
    core.backstore.bytes[600] ^= 1;
    core.backstore.releaseHeld();
    t.is(outcome(await result), expected);
  }
});

test('a block that cannot be read back is named', async (t) => {
  const { initiator, backstore } = new Core();
  backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR, at: 512 };
  t.is(outcome(await initiator.send({ cdb: cdb10(0x2e, 0, 2), dataOut: pattern(1024, 1) })), '3/11/00 i1');
});
