import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { u64 } from '../../src/scsi/bytes.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';
import { ask } from '../support/primary-cdbs.ts';

const send = (flags: number, length = 0) => [0x1d, flags, 0, 0, length, 0];
const DEFAULT = send(0x04);
const code = (selfTest: number) => send(selfTest << 5);
const SELF_TEST_RESULTS = [0x4d, 0, 0x50, 0, 0, 0, 0, 0x10, 0, 0];

/** Code and outcome of the newest self-tests, and the failing LBA. */
async function results(core: Core, count: number): Promise<string[]> {
  const { dataIn } = await ask(core.initiator, SELF_TEST_RESULTS);
  return Array.from({ length: count }, (_, i) => {
    const at = 4 + 20 * i + 4;
    const address = u64(dataIn, at + 4);
    return `${dataIn[at] >> 5}:${dataIn[at] & 0x0f}${address > 0 && address < 2 ** 53 ? `@${address}` : ''}`;
  });
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

const tests: [string, number[], string, number][] = [
  ['a short one in the foreground', code(5), '5:0', 2],
  ['an extended one in the foreground', code(6), '6:0', 2],
  ['a short one in the background', code(1), '1:0', 2],
  ['an extended one in the background', code(2), '2:0', 2],
];

for (const [title, cdb, expected, reads] of tests) {
  test(`${title} reads the medium and is logged`, async (t) => {
    const core = new Core();
    t.is(outcome(await core.initiator.send({ cdb })), 'GOOD');
    await settled();
    t.deepEqual(await results(core, 2), [expected, '0:0']);
    t.is(core.backstore.log.filter(({ kind }) => kind === OperationKind.READ).length, reads);
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('a self-test that finds an error fails and names the block', async (t) => {
  const core = new Core();
  core.backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR, at: 100 * 512 };
  t.is(outcome(await core.initiator.send({ cdb: DEFAULT })), 'GOOD');
  t.is(outcome(await core.initiator.send({ cdb: code(6) })), '3/11/00 i100');
  t.deepEqual(await results(core, 2), ['6:7@100', '0:0']);
});

test('one in the background is seen running, keeps others out, and can be ended', async (t) => {
  const core = new Core();
  core.backstore.hold = true;
  t.is(outcome(await core.initiator.send({ cdb: code(2) })), 'GOOD');
  t.deepEqual(await results(core, 2), ['2:15', '0:0']);
  t.is(outcome(await core.initiator.send({ cdb: DEFAULT })), '2/04/09');
  t.is(outcome(await core.initiator.send({ cdb: code(1) })), '2/04/09');
  t.is(outcome(await core.initiator.send({ cdb: code(4) })), 'GOOD');
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  await settled();
  t.deepEqual(await results(core, 2), ['2:1', '0:0']);
  t.is(outcome(await core.initiator.send({ cdb: code(4) })), '5/24/00@1.7');
  t.is(core.environment.memory.outstanding, 0);
});

test('the default self-test reads the medium and is not logged', async (t) => {
  const core = new Core();
  t.is(outcome(await core.initiator.send({ cdb: DEFAULT })), 'GOOD');
  t.is(core.backstore.log.length, 2);
  t.deepEqual(await results(core, 1), ['0:0']);
});

test('twenty results are kept', async (t) => {
  const core = new Core();
  for (let i = 0; i < 25; i++) await core.initiator.send({ cdb: code(i < 24 ? 5 : 6) });
  const { dataIn } = await ask(core.initiator, SELF_TEST_RESULTS);
  t.is(dataIn.length, 4 + 20 * 20);
  t.deepEqual(await results(core, 2), ['6:0', '5:0']);
});

const refusals: [string, number[], number[], string][] = [
  ['a reserved self-test code', code(3), [], '5/24/00@1.7'],
  ['a code beside SELFTEST', send(0x24), [], '5/24/00@1.7'],
  ['a list beside SELFTEST', send(0x04, 4), [0, 0, 0, 0], '5/24/00@3'],
  ['a list without PF', send(0, 4), [0, 0, 0, 0], '5/24/00@1.4'],
  ['an unknown page', send(0x10, 4), [0x40, 0, 0, 0], '5/26/00#0'],
  ['a list too short for a page', send(0x10, 3), [0, 0, 0], '5/1a/00'],
  ['fewer bytes than announced', send(0x10, 4), [0, 0], '5/1a/00'],
];

for (const [title, cdb, list, expected] of refusals) {
  test(`SEND DIAGNOSTIC refuses ${title}`, async (t) => {
    const { initiator } = new Core();
    t.is(outcome(await initiator.send({ cdb, dataOut: Uint8Array.from(list) })), expected);
  });
}

test('the list of diagnostic pages is sent for and received', async (t) => {
  const { initiator } = new Core();
  t.is(outcome(await initiator.send({ cdb: send(0x10, 4), dataOut: new Uint8Array(4) })), 'GOOD');
  for (const flags of [0, 1]) {
    t.deepEqual([...(await ask(initiator, [0x1c, flags, 0, 0, 255, 0])).dataIn], [0, 0, 0, 1, 0]);
  }
  t.is(outcome(await ask(initiator, [0x1c, 1, 0x40, 0, 255, 0])), '5/24/00@2');
});
