import test from 'ava';
import { OperationKind } from '../../src/scsi/backstore.ts';
import { cdb10, cdb16, outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';

const IMMED = 0x02;
const rows: [string, Uint8Array, string, [number, number][]][] = [
  ['a range', cdb10(0x34, 5, 10), 'CONDITION MET', [[5, 10]]],
  ['a range at once', cdb16(0x90, 5, 10, IMMED), 'CONDITION MET', [[5, 10]]],
  ['all that follows', cdb16(0x90, 2000, 0), 'CONDITION MET', [[2000, 48]]],
  ['nothing at the end', cdb16(0x90, 2048, 0), 'CONDITION MET', []],
  ['past the end', cdb16(0x90, 2049, 0), '5/21/00@2', []],
  ['over the end', cdb10(0x34, 2047, 2), '5/21/00@2', []],
];
for (const [title, cdb, expected, fetched] of rows) {
  test(`PRE-FETCH of ${title}: ${expected}`, async (t) => {
    const { initiator, backstore } = new Core();
    t.is(outcome(await initiator.send({ cdb })), expected);
    t.deepEqual(
      backstore.log.map(({ kind, offset, length }) => [kind, offset / 512, length / 512]),
      fetched.map(([lba, blocks]) => [OperationKind.PREFETCH, lba, blocks]),
    );
  });
}

test('more than is worth caching is fetched in part: GOOD', async (t) => {
  const core = new Core();
  core.disk.blockCount = 1 << 24;
  core.backstore.hold = true;
  t.is(outcome(await core.initiator.send({ cdb: cdb16(0x90, 0, 0, IMMED) })), 'GOOD');
});
