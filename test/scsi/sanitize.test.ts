import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { AbortedBy } from '../../src/scsi/task.ts';
import { cdb10, outcome, pattern } from '../support/block-cdbs.ts';
import { Core, type CoreOptions, TestStore } from '../support/core.ts';

const SANITIZE = { OVERWRITE: 0x01, BLOCK_ERASE: 0x02, EXIT_FAILURE_MODE: 0x1f };
const IMMED = 0x80;
const AUSE = 0x20;
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
const tick = () => new Promise(setImmediate);

function cdb(serviceAction: number, length = 0, flags = 0): number[] {
  return [0x48, flags | serviceAction, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0];
}

function overwriteList(bytes: number[], count = 1, flags = 0): Uint8Array {
  return Uint8Array.from([flags | count, 0, bytes.length >> 8, bytes.length & 0xff, ...bytes]);
}

function dirty(options: CoreOptions = {}): Core {
  const core = new Core(options);
  core.backstore.bytes.set(pattern(core.backstore.byteLength, 1));
  return core;
}

function overwrite(core: Core, list: Uint8Array, flags = 0) {
  return core.initiator.send({ cdb: cdb(SANITIZE.OVERWRITE, list.length, flags), dataOut: list });
}

test('BLOCK ERASE leaves every block unmapped', async (t) => {
  const core = dirty();
  t.is(outcome(await core.initiator.send({ cdb: cdb(SANITIZE.BLOCK_ERASE) })), 'GOOD');
  t.true(core.backstore.bytes.every((byte) => byte === 0));
  t.deepEqual(
    core.backstore.log.map(({ kind }) => kind),
    [OperationKind.UNMAP, OperationKind.FLUSH],
  );
  t.is(core.disk.rangeLocks.held, 0);
});

for (const capabilities of [
  { unmap: false },
  { unmapReadsZero: false },
  { unmap: false, writeZeroes: false },
]) {
  test(`BLOCK ERASE writes zeroes when unmapping is no erasure: ${JSON.stringify(capabilities)}`, async (t) => {
    const core = dirty({ capabilities });
    t.is(outcome(await core.initiator.send({ cdb: cdb(SANITIZE.BLOCK_ERASE) })), 'GOOD');
    t.true(core.backstore.bytes.every((byte) => byte === 0));
    t.false(core.backstore.log.some(({ kind }) => kind === OperationKind.UNMAP));
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('OVERWRITE repeats its pattern within every block', async (t) => {
  const core = dirty();
  t.is(outcome(await overwrite(core, overwriteList([1, 2, 3]))), 'GOOD');
  const block = Uint8Array.from({ length: 512 }, (_, i) => 1 + (i % 3));
  for (const lba of [0, 1, 1000, 2047]) {
    t.deepEqual(core.backstore.bytes.slice(lba * 512, (lba + 1) * 512), block);
  }
  t.is(core.environment.memory.outstanding, 0);
});

test('OVERWRITE with INVERT ends with the inverted pattern after an even count', async (t) => {
  const core = dirty();
  t.is(outcome(await overwrite(core, overwriteList([0xa5], 2, 0x80))), 'GOOD');
  t.true(core.backstore.bytes.every((byte) => byte === 0x5a));
  t.is(core.backstore.log.filter(({ kind }) => kind === OperationKind.FLUSH).length, 2);
});

const lists: [string, Uint8Array, string][] = [
  ['no list', new Uint8Array(0), '5/24/00@7'],
  ['only a header', new Uint8Array(4), '5/24/00@7'],
  ['more than a block', new Uint8Array(517), '5/24/00@7'],
  ['a count of 0', overwriteList([1], 0), '5/26/00#0.4'],
  ['a vendor-specific TEST', overwriteList([1], 1, 0x40), '5/26/00#0.6'],
  ['no pattern', Uint8Array.of(1, 0, 0, 0, 9), '5/26/00#2'],
  ['a pattern beyond the list', Uint8Array.of(1, 0, 0, 2, 9), '5/1a/00'],
];
for (const [title, list, expected] of lists) {
  test(`OVERWRITE with ${title}: ${expected}`, async (t) => {
    const core = dirty();
    t.is(outcome(await overwrite(core, list)), expected);
    t.is(core.backstore.log.length, 0);
  });
}

const rows: [string, CoreOptions, number[], string][] = [
  ['BLOCK ERASE with parameters', {}, cdb(SANITIZE.BLOCK_ERASE, 8), '5/24/00@7'],
  ['EXIT FAILURE MODE with parameters', {}, cdb(SANITIZE.EXIT_FAILURE_MODE, 8), '5/24/00@7'],
  ['EXIT FAILURE MODE without a failure', {}, cdb(SANITIZE.EXIT_FAILURE_MODE), 'GOOD'],
  // There is no key to be lost.
  ['CRYPTOGRAPHIC ERASE', {}, cdb(0x03), '5/24/00@1.4'],
  ['a reserved bit', {}, cdb(SANITIZE.BLOCK_ERASE, 0, 0x40), '5/24/00@1.6'],
  ['on a read-only disk', { capabilities: { readOnly: true } }, cdb(SANITIZE.BLOCK_ERASE), '7/27/00'],
];
for (const [title, options, bytes, expected] of rows) {
  test(`SANITIZE ${title}: ${expected}`, async (t) => {
    const core = dirty(options);
    t.is(outcome(await core.initiator.send({ cdb: bytes, dataOut: new Uint8Array(bytes[8]) })), expected);
    t.is(core.backstore.log.length, 0);
  });
}

test('with IMMED it answers at once; until its end only INQUIRY and the like are served, with progress', async (t) => {
  const core = dirty();
  const { backstore, initiator } = core;
  backstore.hold = true;
  t.is(outcome(await overwrite(core, overwriteList([7], 2), IMMED)), 'GOOD');
  await tick();
  backstore.releaseHeld(1);
  await tick();
  const refused = await initiator.send({ cdb: cdb10(0x28, 0, 1), dataInLength: 512 });
  t.is(outcome(refused).slice(0, 7), '2/04/1b');
  t.deepEqual([...refused.sense.subarray(15, 18)], [0x80, 0x40, 0]);
  t.is(outcome(await initiator.send({ cdb: TEST_UNIT_READY })).slice(0, 7), '2/04/1b');
  t.is(outcome(await initiator.send({ cdb: cdb(SANITIZE.BLOCK_ERASE) })).slice(0, 7), '2/04/1b');
  t.is(outcome(await initiator.send({ cdb: [0x04, 0, 0, 0, 0, 0] })).slice(0, 7), '2/04/1b');
  t.is(
    (await initiator.send({ cdb: [0xa0, ...new Array(8).fill(0), 16, 0, 0], dataInLength: 16 })).status,
    0,
  );
  while (backstore.held.length > 0) {
    backstore.releaseHeld();
    await tick();
  }
  t.is(outcome(await initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
  t.true(backstore.bytes.every((byte) => byte === 7));
});

test('it waits for accesses under way', async (t) => {
  const core = dirty();
  core.backstore.hold = true;
  const write = core.initiator.send({ cdb: cdb10(0x2a, 5, 1), dataOut: new Uint8Array(512).fill(9) });
  const sanitize = core.initiator.send({ cdb: cdb(SANITIZE.BLOCK_ERASE) });
  await tick();
  t.is(core.backstore.log.length, 1);
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  t.deepEqual((await Promise.all([write, sanitize])).map(outcome), ['GOOD', 'GOOD']);
  t.true(core.backstore.bytes.every((byte) => byte === 0));
});

test('an abort ends the task, not the work', async (t) => {
  const core = dirty();
  core.backstore.hold = true;
  const running = core.initiator.start({ cdb: cdb(SANITIZE.BLOCK_ERASE) });
  await tick();
  running.task.abortedBy = AbortedBy.OWN_NEXUS;
  running.task.cancel();
  t.is((await running.result).status, Status.TASK_ABORTED);
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })).slice(0, 7), '2/04/1b');
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  await tick();
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
  t.true(core.backstore.bytes.every((byte) => byte === 0));
});

for (const [flags, exit] of [
  [0, '5/24/00@1.4'],
  [AUSE, 'GOOD'],
] as const) {
  test(`after a failure with AUSE ${flags >> 5}, EXIT FAILURE MODE is ${exit}`, async (t) => {
    const core = dirty();
    const { initiator, backstore } = core;
    backstore.fault = { kind: OperationKind.WRITE, outcome: Outcome.MEDIUM_ERROR, at: 600_000 };
    t.is(outcome(await overwrite(core, overwriteList([1]), flags)), '3/0c/00 i1171');
    backstore.fault = undefined;
    const read = { cdb: cdb10(0x28, 0, 1), dataInLength: 512 };
    t.is(outcome(await initiator.send(read)), '3/31/03');
    t.is(outcome(await initiator.send({ cdb: cdb(SANITIZE.EXIT_FAILURE_MODE) })), exit);
    t.is(outcome(await initiator.send(read)), exit === 'GOOD' ? 'GOOD' : '3/31/03');
    t.is(outcome(await initiator.send({ cdb: cdb(SANITIZE.BLOCK_ERASE) })), 'GOOD');
    t.is(outcome(await initiator.send(read)), 'GOOD');
  });
}

test('a restart in its middle starts it again; a failure survives', async (t) => {
  const store = new TestStore();
  const first = dirty({ store });
  first.backstore.hold = true;
  void overwrite(first, overwriteList([3], 2, 0x80));
  await tick();
  await tick();
  const second = new Core({ store, content: pattern(1 << 20, 1), hold: true });
  await tick();
  t.is(outcome(await second.initiator.send({ cdb: TEST_UNIT_READY })).slice(0, 7), '2/04/1b');
  second.backstore.fault = { kind: OperationKind.FLUSH, outcome: Outcome.MEDIUM_ERROR };
  while (second.backstore.held.length > 0) {
    second.backstore.releaseHeld();
    await tick();
  }
  const third = new Core({ store });
  t.is(outcome(await third.initiator.send({ cdb: TEST_UNIT_READY })), '3/31/03');
  t.is(outcome(await third.initiator.send({ cdb: cdb(SANITIZE.BLOCK_ERASE) })), 'GOOD');
  await tick();
  t.is(outcome(await new Core({ store }).initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
});
