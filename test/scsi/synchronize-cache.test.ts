import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { cdb10, cdb16, outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';

const rows: [string, Uint8Array, string][] = [
  ['the whole medium', cdb10(0x35, 0, 0), 'GOOD'],
  ['a range', cdb10(0x35, 100, 20), 'GOOD'],
  ['up to the last block', cdb16(0x91, 2040, 8), 'GOOD'],
  ['from the end on', cdb16(0x91, 2048, 0), 'GOOD'],
  ['past the end', cdb16(0x91, 2049, 0), '5/21/00@2'],
  ['a range that runs past the end', cdb10(0x35, 2040, 9), '5/21/00@2'],
  ['an LBA that no Number holds', cdb16(0x91, 2 ** 63, 1), '5/21/00@2'],
];
for (const [title, cdb, expected] of rows) {
  test(`SYNCHRONIZE CACHE of ${title}: ${expected}`, async (t) => {
    const { initiator, backstore } = new Core();
    t.is(outcome(await initiator.send({ cdb })), expected);
    t.deepEqual(
      backstore.log.map(({ kind }) => kind),
      expected === 'GOOD' ? [OperationKind.FLUSH] : [],
    );
  });
}

test('GOOD comes after the flush', async (t) => {
  const { initiator, backstore } = new Core();
  backstore.hold = true;
  let done = false;
  const result = initiator.send({ cdb: cdb10(0x35, 0, 0) }).then((r) => {
    done = true;
    return r;
  });
  await new Promise(setImmediate);
  t.false(done);
  backstore.releaseHeld();
  t.is(outcome(await result), 'GOOD');
});

test('a flush that fails is a write error', async (t) => {
  const { initiator, backstore } = new Core();
  backstore.fault = { kind: OperationKind.FLUSH, outcome: Outcome.MEDIUM_ERROR };
  t.is(outcome(await initiator.send({ cdb: cdb10(0x35, 0, 0) })), '3/0c/00');
});

test('IMMED answers at once, and a failure shows in the next command', async (t) => {
  const { initiator, backstore } = new Core();
  backstore.hold = true;
  backstore.fault = { kind: OperationKind.FLUSH, outcome: Outcome.MEDIUM_ERROR };
  t.is(outcome(await initiator.send({ cdb: cdb10(0x35, 0, 0, 0x02) })), 'GOOD');
  backstore.releaseHeld();
  backstore.hold = false;
  backstore.fault = undefined;
  await new Promise(setImmediate);
  t.is(outcome(await initiator.send({ cdb: cdb16(0x91, 0, 0) })), '3/0c/00');
  t.is(outcome(await initiator.send({ cdb: cdb16(0x91, 0, 0) })), 'GOOD');
});

test('a failure with IMMED is not forgotten by a flush that began before and succeeds', async (t) => {
  const { initiator, backstore } = new Core();
  backstore.hold = true;
  const before = initiator.send({ cdb: cdb10(0x35, 0, 0) });
  t.is(outcome(await initiator.send({ cdb: cdb10(0x35, 0, 0, 0x02) })), 'GOOD');
  const [awaited] = backstore.held.splice(0, 1);
  backstore.fault = { kind: OperationKind.FLUSH, outcome: Outcome.MEDIUM_ERROR };
  backstore.releaseHeld();
  await new Promise(setImmediate);
  backstore.fault = undefined;
  backstore.held.push(awaited);
  backstore.releaseHeld();
  t.is(outcome(await before), 'GOOD');
  backstore.hold = false;
  t.is(outcome(await initiator.send({ cdb: cdb10(0x35, 0, 0) })), '3/0c/00');
});
