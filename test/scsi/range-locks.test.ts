import test from 'ava';
import { OperationKind } from '../../src/scsi/backstore.ts';
import { AbortedBy } from '../../src/scsi/task.ts';
import { cdb10, cdb16, outcome, pattern } from '../support/block-cdbs.ts';
import { Core, TestStore } from '../support/core.ts';

const { READ, WRITE } = OperationKind;
const tick = () => new Promise(setImmediate);
const compareAndWrite = (lba: number, blocks: number) => [
  0x89,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  lba,
  0,
  0,
  0,
  blocks,
  0,
  0,
];

/** Lets the backstore do one operation at a time, in the order of arrival, until nothing is left. */
async function drain(core: Core, pick: (waiting: number) => number = () => 0): Promise<void> {
  const { backstore } = core;
  for (let idle = 0; idle < 5; ) {
    await tick();
    if (backstore.held.length === 0) {
      idle++;
      continue;
    }
    idle = 0;
    const [chosen] = backstore.held.splice(pick(backstore.held.length), 1);
    backstore.held.unshift(chosen);
    backstore.releaseHeld(1);
  }
}

/** The order in which the backstore was asked, as `R3+2`. */
function asked(core: Core): string[] {
  return core.backstore.log.map(
    ({ kind, offset, length }) =>
      `${kind === READ ? 'R' : kind === WRITE ? 'W' : 'Z'}${offset / 512}+${length / 512}`,
  );
}

test('a locker waits for accesses under way, and later accesses wait for the locker', async (t) => {
  const core = new Core();
  const { initiator, backstore } = core;
  backstore.hold = true;
  const results = [
    initiator.send({ cdb: cdb10(0x2a, 2, 2), dataOut: pattern(1024, 1) }),
    initiator.send({ cdb: compareAndWrite(3, 2), dataOut: new Uint8Array(2048) }),
    initiator.send({ cdb: cdb10(0x28, 4, 1), dataInLength: 512 }),
    initiator.send({ cdb: cdb10(0x28, 9, 1), dataInLength: 512 }),
    initiator.send({ cdb: cdb10(0x28, 5, 1), dataInLength: 512 }),
  ];
  await tick();
  t.deepEqual(asked(core), ['W2+2', 'R9+1', 'R5+1'], 'what does not overlap runs at once');
  await drain(core);
  t.is(outcome((await Promise.all(results))[1]), 'e/1d/00 i0');
  t.deepEqual(asked(core), ['W2+2', 'R9+1', 'R5+1', 'R3+2', 'R4+1']);
  t.is(core.disk.rangeLocks.held, 0);
});

test('two lockers of one range take turns: only one of two equal compares succeeds', async (t) => {
  const core = new Core();
  core.backstore.hold = true;
  const lock = (owner: number) => {
    const dataOut = new Uint8Array(1024);
    dataOut.fill(owner, 512);
    return core.initiator.send({ cdb: compareAndWrite(0, 1), dataOut });
  };
  const results = [lock(1), lock(2), lock(3)];
  await drain(core);
  t.deepEqual((await Promise.all(results)).map(outcome), ['GOOD', 'e/1d/00 i0', 'e/1d/00 i0']);
  t.is(core.backstore.bytes[0], 1);
});

test('lockers of different ranges run side by side', async (t) => {
  const core = new Core();
  core.backstore.hold = true;
  const results = [0, 8, 16].map((lba) =>
    core.initiator.send({ cdb: compareAndWrite(lba, 8), dataOut: new Uint8Array(8192) }),
  );
  await tick();
  t.is(core.backstore.held.length, 3);
  await drain(core);
  t.deepEqual((await Promise.all(results)).map(outcome), ['GOOD', 'GOOD', 'GOOD']);
});

test('overlapping waiters run in the order in which they came', async (t) => {
  const core = new Core();
  const { initiator, backstore } = core;
  backstore.hold = true;
  const results = [
    initiator.send({ cdb: cdb16(0x8b, 0, 4), dataOut: pattern(2048, 1) }),
    initiator.send({ cdb: cdb10(0x2a, 3, 1), dataOut: pattern(512, 2) }),
    initiator.send({ cdb: cdb16(0x8b, 3, 2), dataOut: pattern(1024, 3) }),
    initiator.send({ cdb: cdb10(0x28, 4, 1), dataInLength: 512 }),
    initiator.send({ cdb: cdb10(0x41, 0, 5), dataOut: new Uint8Array(512) }),
  ];
  await drain(core);
  t.deepEqual((await Promise.all(results)).map(outcome), new Array(5).fill('GOOD'));
  t.deepEqual(asked(core), ['R0+4', 'W0+4', 'W3+1', 'R3+2', 'W3+2', 'R4+1', 'Z0+5']);
});

test('a waiter that is aborted ends in its turn and touches nothing', async (t) => {
  const core = new Core();
  const { initiator, backstore } = core;
  backstore.hold = true;
  const locker = initiator.send({ cdb: compareAndWrite(0, 1), dataOut: new Uint8Array(1024) });
  await tick();
  const waiters = [
    initiator.start({ cdb: cdb10(0x2a, 0, 1), dataOut: pattern(512, 1) }),
    initiator.start({ cdb: compareAndWrite(0, 1), dataOut: new Uint8Array(1024) }),
    initiator.start({ cdb: cdb10(0x2f, 0, 1) }),
  ];
  for (const { task } of waiters) task.abortedBy = AbortedBy.OWN_NEXUS;
  await drain(core);
  t.is(outcome(await locker), 'GOOD');
  for (const { result } of waiters) t.true((await result).aborted);
  t.deepEqual(asked(core), ['R0+1', 'W0+1']);
  t.is(core.disk.rangeLocks.held, 0);
  t.is(core.environment.memory.outstanding, 0);
});

test('a lock for a copy without a task keeps others out until it is released', async (t) => {
  const core = new Core();
  const lock = await core.disk.rangeLocks.acquire(10, 10);
  let done = false;
  const read = core.initiator.send({ cdb: cdb10(0x28, 12, 1), dataInLength: 512 }).then(() => {
    done = true;
  });
  await tick();
  t.false(done);
  core.disk.rangeLocks.release(lock);
  await read;
  t.throws(() => core.disk.rangeLocks.release(lock), { message: /twice/ });
});

test('counters that many initiators raise by COMPARE AND WRITE lose no step, in any order of completion', async (t) => {
  let random = 12345;
  const next = (below: number) => {
    random = (random * 1103515245 + 12345) & 0x7fffffff;
    return (random >> 8) % below;
  };
  const core = new Core({ store: new TestStore() });
  core.backstore.hold = true;
  const initiators = [1, 2, 3, 4].map((n) => core.connect(`naa.500000000000001${n}`));
  const raise = async (initiator: (typeof initiators)[number]): Promise<void> => {
    for (let raised = 0; raised < 10; ) {
      const { dataIn } = await initiator.send({ cdb: cdb10(0x28, 0, 4), dataInLength: 2048 });
      t.true(
        dataIn.every((byte) => byte === dataIn[0]),
        'a READ saw a half-done COMPARE AND WRITE',
      );
      const dataOut = new Uint8Array(4096);
      dataOut.set(dataIn);
      dataOut.fill(dataIn[0] + 1, 2048);
      if (outcome(await initiator.send({ cdb: compareAndWrite(0, 4), dataOut })) === 'GOOD') raised++;
    }
  };
  const work = initiators.map(raise);
  await drain(core, next);
  await Promise.all(work);
  t.is(core.backstore.bytes[0], 40);
});
