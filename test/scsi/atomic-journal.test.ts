/** What becomes of the journal of atomic writes when something else fails as well. */
import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { DamagedStateError } from '../../src/scsi/damaged-state-error.ts';
import { outcome, pattern } from '../support/block-cdbs.ts';
import { Core, TestStore } from '../support/core.ts';

function cdb(lba: number, blocks: number): number[] {
  return [0x9c, 0, 0, 0, 0, 0, 0, 0, 0, lba, 0, 0, 0, blocks, 0, 0];
}

test('when old blocks cannot be put back, no write is answered that the next start would undo', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  core.backstore.fault = { kind: OperationKind.WRITE, outcome: Outcome.NO_SPACE };
  t.is(outcome(await core.initiator.send({ cdb: cdb(0, 4), dataOut: pattern(2048, 2) })), '7/27/07 i0');
  core.backstore.fault = undefined;
  const write = [0x2a, 0x08, 0, 0, 0, 0, 0, 0, 4, 0];
  t.is(outcome(await core.initiator.send({ cdb: write, dataOut: pattern(2048, 3) })), '3/31/00');
  t.not(store.texts.get('atomic-write'), '');
});

test('a write that waited for the blocks of an atomic one is not answered GOOD when those stay in the journal', async (t) => {
  const core = new Core({ store: new TestStore() });
  core.backstore.hold = true;
  const atomic = core.initiator.send({ cdb: cdb(0, 4), dataOut: pattern(2048, 2) });
  await new Promise(setImmediate);
  const waiting = core.initiator.send({
    cdb: [0x2a, 0x08, 0, 0, 0, 0, 0, 0, 4, 0],
    dataOut: pattern(2048, 3),
  });
  core.backstore.fault = { kind: OperationKind.WRITE, outcome: Outcome.MEDIUM_ERROR };
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  t.is(outcome(await atomic), '3/0c/00 i0');
  core.backstore.fault = undefined;
  t.is(outcome(await waiting), '3/31/00');
});

test('a journal that cannot be emptied stops the unit, since the next start would undo later writes', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  core.environment.defect = () => {};
  const save = store.save.bind(store);
  store.save = async (name, text) => {
    if (text === '') throw new Error('no space left');
    return save(name, text);
  };
  t.is(outcome(await core.initiator.send({ cdb: cdb(0, 4), dataOut: pattern(2048, 2) })), '4/44/00');
  t.is(outcome(await core.initiator.send({ cdb: [0, 0, 0, 0, 0, 0] })), '3/31/00');
});

test('an erasure that is taken up again empties the journal: old blocks come back at no later start', async (t) => {
  const store = new TestStore();
  await store.save('atomic-write', JSON.stringify({ blockSize: 512, lba: 0, blocks: 'ff'.repeat(512) }));
  const job = { command: 'FORMAT UNIT', passes: [null], unrestrictedExit: false, failed: false };
  await store.save('medium-erasure', JSON.stringify(job));
  const first = new Core({ store });
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  const second = new Core({ store, content: first.backstore.bytes });
  await new Promise(setImmediate);
  t.deepEqual(second.backstore.bytes.subarray(0, 512), new Uint8Array(512));
});

const BLOCK = 'ff'.repeat(512);
const damaged: [title: string, text: string][] = [
  ['no object', 'null'],
  ['no LBA', JSON.stringify({ blockSize: 512, blocks: BLOCK })],
  ['half a block', JSON.stringify({ blockSize: 512, lba: 0, blocks: 'ff' })],
  [
    'blocks of another size, whose LBA is another place',
    JSON.stringify({ blockSize: 256, lba: 0, blocks: BLOCK }),
  ],
];
for (const [title, text] of damaged) {
  test(`a journal with ${title} keeps the disk from being served, and changes nothing`, async (t) => {
    const store = new TestStore();
    await store.save('atomic-write', text);
    t.throws(() => new Core({ store }), { instanceOf: DamagedStateError, message: /atomic-write/ });
  });
}
