import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { DamagedStateError } from '../../src/scsi/damaged-state-error.ts';
import { cdb10, outcome, pattern } from '../support/block-cdbs.ts';
import { Core, TestStore } from '../support/core.ts';

const FMTDATA = 0x10;
const LONGLIST = 0x20;
const FOV = 0x80;
const IP = 0x08;
const IMMED = 0x02;
const format = (flags: number) => [0x04, flags, 0, 0, 0, 0];
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
const tick = () => new Promise(setImmediate);

function dirty(): Core {
  const core = new Core();
  core.backstore.bytes.set(pattern(core.backstore.byteLength, 1));
  return core;
}

const rows: [string, number[], number[], string, number | undefined][] = [
  ['without parameters', format(0), [], 'GOOD', 0],
  ['with an empty defect list', format(FMTDATA), [0, 0, 0, 0], 'GOOD', 0],
  ['with a long header', format(FMTDATA | LONGLIST), [0, 0, 0, 0, 0, 0, 0, 0], 'GOOD', 0],
  ['with CMPLST and a defect list format', format(FMTDATA | 0x0d), [0, FOV, 0, 0], 'GOOD', 0],
  ['with a pattern', format(FMTDATA), [0, FOV | IP, 0, 0, 0, 1, 0, 1, 0x5c], 'GOOD', 0x5c],
  ['with the default pattern', format(FMTDATA), [0, FOV | IP, 0, 0, 0, 0, 0, 0], 'GOOD', 0],
  ['with half a header', format(FMTDATA), [0, 0], '5/1a/00', undefined],
  [
    'with a pattern that is cut off',
    format(FMTDATA),
    [0, FOV | IP, 0, 0, 0, 1, 0, 2, 1],
    '5/1a/00',
    undefined,
  ],
  ['with no pattern', format(FMTDATA), [0, FOV | IP, 0, 0, 0, 1, 0, 0], '5/26/00#6', undefined],
  [
    'with an unknown pattern type',
    format(FMTDATA),
    [0, FOV | IP, 0, 0, 0, 2, 0, 1, 1],
    '5/26/00#5',
    undefined,
  ],
  ['with IP and no FOV', format(FMTDATA), [0, IP, 0, 0, 0, 1, 0, 1, 0x5c], '5/26/00#1.7', undefined],
  ['with defects', format(FMTDATA), [0, 0, 0, 4, 0, 0, 0, 1], '5/26/00#2', undefined],
  [
    'with defects in a long list',
    format(FMTDATA | LONGLIST),
    [0, 0, 0, 0, 0, 0, 0, 4],
    '5/26/00#4',
    undefined,
  ],
  ['with LONGLIST alone', format(LONGLIST), [], '5/24/00@1.5', undefined],
  ['with protection that is not there', format(0x80), [], '5/24/00@1.7', undefined],
  ['with protection in the list only', format(FMTDATA), [1, 0, 0, 0], '5/26/00#0.2', undefined],
];
for (const [title, cdb, list, expected, content] of rows) {
  test(`FORMAT UNIT ${title}: ${expected}`, async (t) => {
    const core = dirty();
    t.is(outcome(await core.initiator.send({ cdb, dataOut: Uint8Array.from(list) })), expected);
    if (content === undefined) t.is(core.backstore.log.length, 0);
    else t.true(core.backstore.bytes.every((byte) => byte === content));
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('with IMMED it answers at once and tells its progress', async (t) => {
  const core = dirty();
  core.backstore.hold = true;
  const dataOut = Uint8Array.of(0, FOV | IMMED, 0, 0);
  t.is(outcome(await core.initiator.send({ cdb: format(FMTDATA), dataOut })), 'GOOD');
  const { sense } = await core.initiator.send({ cdb: TEST_UNIT_READY });
  t.deepEqual([sense[2], sense[12], sense[13], sense[15]], [2, 4, 4, 0x80]);
  while (core.backstore.held.length > 0) {
    core.backstore.releaseHeld();
    await tick();
  }
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
});

test('a format that fails, or is interrupted, leaves the medium unusable until the next one', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  const { initiator, backstore } = core;
  backstore.fault = { kind: OperationKind.UNMAP, outcome: Outcome.MEDIUM_ERROR };
  t.is(outcome(await initiator.send({ cdb: format(0) })), '3/0c/00 i0');
  backstore.fault = undefined;
  t.is(outcome(await initiator.send({ cdb: cdb10(0x28, 0, 1), dataInLength: 512 })), '3/31/00');
  t.is(outcome(await new Core({ store }).initiator.send({ cdb: TEST_UNIT_READY })), '3/31/00');
  t.is(outcome(await initiator.send({ cdb: format(0) })), 'GOOD');
  t.is(outcome(await initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
});

test('a record of an erasure that cannot be read keeps the disk from being served', async (t) => {
  const store = new TestStore();
  await store.save('medium-erasure', '{"command":');
  t.throws(() => new Core({ store }), { instanceOf: DamagedStateError, message: /medium-erasure/ });
});

test('a format that cannot be put on record does not begin: the disk stays as it was', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  core.environment.defect = () => {};
  store.save = async () => {
    throw new Error('no space left');
  };
  const before = core.backstore.bytes.fill(7).slice();
  t.is(outcome(await core.initiator.send({ cdb: [0x04, 0, 0, 0, 0, 0] })), '4/44/00');
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
  t.deepEqual(core.backstore.bytes, before);
});

test('a format whose record may be found at the next start leaves the unit formatted or not ready', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  core.environment.defect = () => {};
  store.save = async (name, text) => {
    if (text !== '') store.texts.set(name, text);
    throw new Error('input/output error');
  };
  t.is(outcome(await core.initiator.send({ cdb: [0x04, 0, 0, 0, 0, 0] })), '4/44/00');
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), '3/31/00');
});

const wrongJobs: [title: string, text: string][] = [
  ['no object', 'null'],
  ['an unknown command', '{"command":"toString","passes":[],"failed":false}'],
  ['a pattern for blocks of another size', '{"command":"SANITIZE","passes":["00ff"],"failed":false}'],
];
for (const [title, text] of wrongJobs) {
  test(`a job on record with ${title} keeps the disk from being served`, async (t) => {
    const store = new TestStore();
    await store.save('medium-erasure', text);
    t.throws(() => new Core({ store }), { instanceOf: DamagedStateError, message: /medium-erasure/ });
  });
}
