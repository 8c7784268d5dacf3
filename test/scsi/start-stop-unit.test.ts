import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { Counter } from '../../src/scsi/statistics.ts';
import { cdb10, outcome } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';
import { ask, REQUEST_SENSE, TEST_UNIT_READY } from '../support/primary-cdbs.ts';

const IMMED = 1;
const startStop = (flags: number, immediate = 0, modifier = 0) => [0x1b, immediate, 0, modifier, flags, 0];
const START = startStop(1);
const STOP = startStop(0);
const EJECT = startStop(2);
const LOAD = startStop(3);
const prevent = (on: number) => [0x1e, 0, 0, 0, on, 0];

/** Sends commands in a row and returns how each ended. */
async function play(core: Core, ...cdbs: number[][]): Promise<string[]> {
  const results: string[] = [];
  for (const cdb of cdbs) results.push(outcome(await core.initiator.send({ cdb })));
  return results;
}

test('a stopped disk refuses medium access until it is started', async (t) => {
  const core = new Core();
  t.deepEqual(await play(core, STOP, TEST_UNIT_READY, START, TEST_UNIT_READY), [
    'GOOD',
    '2/04/02',
    'GOOD',
    'GOOD',
  ]);
  t.is(core.disk.statistics.counts[Counter.START_STOP_CYCLES], 1);
});

const flushes: [string, number[], number][] = [
  ['stop', STOP, 1],
  ['stop with IMMED', startStop(0, IMMED), 1],
  ['stop with NO_FLUSH', startStop(4), 0],
  ['start', START, 0],
  ['standby', startStop(0x30), 1],
];

for (const [title, cdb, expected] of flushes) {
  test(`${title} flushes ${expected} times`, async (t) => {
    const core = new Core();
    t.deepEqual(await play(core, cdb), ['GOOD']);
    t.is(core.backstore.log.filter(({ kind }) => kind === OperationKind.FLUSH).length, expected);
  });
}

test('a flush that fails fails the command, and the disk keeps running', async (t) => {
  const core = new Core();
  core.backstore.fault = { kind: OperationKind.FLUSH, outcome: Outcome.MEDIUM_ERROR };
  const [stopped, ready] = await play(core, STOP, TEST_UNIT_READY);
  t.true(stopped.startsWith('3/0c/00'));
  t.is(ready, 'GOOD');
});

const conditions: [string, number[], number][] = [
  ['idle', startStop(0x20), 0x5e03],
  ['idle_b', startStop(0x20, 0, 1), 0x5e06],
  ['idle_c', startStop(0x20, 0, 2), 0x5e08],
  ['standby', startStop(0x30), 0x5e04],
  ['standby_y', startStop(0x30, 0, 1), 0x5e0a],
  ['forced idle', startStop(0xa0), 0x5e03],
  ['forced standby', startStop(0xb0), 0x5e04],
];

for (const [title, cdb, code] of conditions) {
  test(`${title} is told by REQUEST SENSE and ended by a medium access`, async (t) => {
    const core = new Core();
    const asc = async () => {
      const { dataIn } = await ask(core.initiator, REQUEST_SENSE);
      return (dataIn[12] << 8) | dataIn[13];
    };
    t.deepEqual(await play(core, cdb, TEST_UNIT_READY), ['GOOD', 'GOOD']);
    t.is(await asc(), code);
    await ask(core.initiator, cdb10(0x28, 0, 1));
    t.is(await asc(), 0);
  });
}

const refusals: [string, number[], string][] = [
  ['eject of a fixed medium', EJECT, '5/24/00@4.1'],
  ['a reserved power condition', startStop(0x50), '5/24/00@4.7'],
  ['a modifier that idle has not', startStop(0x20, 0, 3), '5/24/00@3.3'],
  ['a modifier with active', startStop(0x10, 0, 1), '5/24/00@3.3'],
];

for (const [title, cdb, expected] of refusals) {
  test(`START STOP UNIT refuses ${title}`, async (t) => {
    t.deepEqual(await play(new Core(), cdb), [expected]);
  });
}

test('starting does not end a format', async (t) => {
  const core = new Core();
  core.disk.notReady = { sense: Sense.FORMAT_IN_PROGRESS, progress: 5 };
  // The progress stands where a field pointer would.
  t.deepEqual(await play(core, START, STOP), ['2/04/04#5', '2/04/04#5']);
});

test('a reset starts a stopped disk', async (t) => {
  const core = new Core();
  await play(core, STOP);
  core.disk.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, undefined);
  t.deepEqual(await play(core, TEST_UNIT_READY, TEST_UNIT_READY), ['6/29/03', 'GOOD']);
});

test('the next machine finds a disk that is started', async (t) => {
  const core = new Core();
  await play(core, STOP);
  core.initiator.nexus.close();
  const next = core.connect('naa.5000000000000001');
  t.is(outcome(await next.send({ cdb: TEST_UNIT_READY })), 'GOOD');
});

const REMOVABLE: CoreOptions = { removable: true };

test('an ejected medium is not there until it is loaded', async (t) => {
  const core = new Core(REMOVABLE);
  const read = [...cdb10(0x28, 0, 1)];
  t.deepEqual(await play(core, EJECT, TEST_UNIT_READY, read, EJECT, LOAD, TEST_UNIT_READY), [
    'GOOD',
    '2/3a/00',
    '2/3a/00',
    'GOOD',
    'GOOD',
    'GOOD',
  ]);
});

test('others hear that a medium may have changed', async (t) => {
  const core = new Core(REMOVABLE);
  const other = core.connect('naa.5000000000000002');
  await play(core, EJECT, LOAD);
  t.is(outcome(await other.send({ cdb: TEST_UNIT_READY })), '6/28/00');
});

test('a removable disk that is stopped stays ready, and power conditions do not eject it', async (t) => {
  const core = new Core(REMOVABLE);
  t.deepEqual(await play(core, STOP, TEST_UNIT_READY), ['GOOD', 'GOOD']);
  for (let condition = 1; condition < 16; condition++) {
    t.deepEqual(await play(core, startStop((condition << 4) | 2, IMMED), TEST_UNIT_READY), ['GOOD', 'GOOD']);
  }
});

test('PREVENT holds the medium against every initiator, in and out, until it is allowed', async (t) => {
  const core = new Core(REMOVABLE);
  const other = core.connect('naa.5000000000000002');
  t.deepEqual(await play(core, prevent(1), EJECT, TEST_UNIT_READY), ['GOOD', '5/53/02', 'GOOD']);
  t.is(outcome(await other.send({ cdb: EJECT })), '5/53/02');
  t.deepEqual(await play(core, prevent(0), EJECT, prevent(1), LOAD, prevent(0), LOAD), [
    'GOOD',
    'GOOD',
    'GOOD',
    '5/53/02',
    'GOOD',
    'GOOD',
  ]);
});

test('a reset and the end of a nexus take its lock away', async (t) => {
  const core = new Core(REMOVABLE);
  await play(core, prevent(1));
  core.disk.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, core.initiator.nexus);
  t.deepEqual(await play(core, EJECT, LOAD), ['GOOD', 'GOOD']);
  const other = core.connect('naa.5000000000000002');
  await other.send({ cdb: prevent(1) });
  t.deepEqual(await play(core, EJECT), ['5/53/02']);
  other.nexus.close();
  t.deepEqual(await play(core, EJECT), ['GOOD']);
});

test('PREVENT ALLOW MEDIUM REMOVAL is unknown to a disk that cannot be removed', async (t) => {
  t.deepEqual(await play(new Core(), prevent(1)), ['5/20/00@0']);
  t.deepEqual(await play(new Core(REMOVABLE), prevent(2)), ['5/24/00@4.1']);
});

test('a format that begins during the flush of a stop goes on, and no start opens the medium meanwhile', async (t) => {
  const core = new Core();
  core.backstore.hold = true;
  const stop = core.initiator.send({ cdb: STOP });
  const format = core.initiator.send({ cdb: [0x04, 0, 0, 0, 0, 0] });
  await new Promise(setImmediate);
  core.backstore.releaseHeld(1);
  t.is(outcome(await stop).slice(0, 7), '2/04/04');
  t.is((await play(core, START))[0].slice(0, 7), '2/04/04');
  t.is((await play(core, TEST_UNIT_READY))[0].slice(0, 7), '2/04/04');
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  t.is(outcome(await format), 'GOOD');
  t.is((await play(core, TEST_UNIT_READY))[0], 'GOOD');
});
