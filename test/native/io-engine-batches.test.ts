/** When a batch begins and ends, and what owners may do while they are called. */
import test from 'ava';
import type { IoOwner } from '../../src/native/io-engine.ts';
import { Recorder, segments, setUp } from './io-engine-support.ts';
import { KIB, PAGE } from './support.ts';

test('run within an owner goes on in the outer one, and a batch ends once', (t) => {
  const { engine, memory } = setUp(t);
  const disk = memory.mapAnonymous(PAGE);
  const log: string[] = [];
  const listener = { batchEnded: () => log.push('end') };
  engine.addBatchEndListener(listener);
  let rounds = 0;
  const owner: IoOwner = {
    ioCompleted() {
      log.push(`round ${++rounds}`);
      if (rounds < 3) {
        engine.ramZero(disk.id, 0, 1, owner);
        engine.run();
        log.push('after run');
      }
    },
  };
  engine.ramZero(disk.id, 0, 1, owner);
  engine.run();
  t.deepEqual(log, ['round 1', 'after run', 'round 2', 'after run', 'round 3', 'end']);
  engine.removeBatchEndListener(listener);
  engine.removeBatchEndListener(listener);
  engine.run();
  t.is(log.length, 6);
});

test('a batch within an owner ends with the outer one: what is queued later starts by itself', async (t) => {
  const { engine, guest, memory } = setUp(t);
  const disk = memory.mapAnonymous(64 * KIB);
  const queue = (owner: IoOwner) => engine.ramRead(disk.id, 0, 512, segments([guest.id, 0, 512]), 0, owner);
  queue(
    new Recorder(() => {
      engine.beginBatch();
      engine.run();
    }),
  );
  engine.run();
  t.false(engine.inBatch);
  const later = new Recorder();
  queue(later);
  await Promise.resolve();
  t.deepEqual(later.results, [512]);
});

test('what a batch-end listener queues is started, and ends with it called again', (t) => {
  const { engine, memory } = setUp(t);
  const disk = memory.mapAnonymous(PAGE);
  const owner = new Recorder();
  let ends = 0;
  engine.addBatchEndListener({
    batchEnded() {
      if (++ends < 3) engine.ramZero(disk.id, 0, 1, owner);
    },
  });
  engine.run();
  t.is(ends, 3);
  t.deepEqual(owner.results, [0, 0]);
});

test('owners that never stop leave others their turn', async (t) => {
  const { engine, memory } = setUp(t);
  const disk = memory.mapAnonymous(PAGE);
  let stopped = false;
  let rounds = 0;
  const owner: IoOwner = {
    ioCompleted() {
      rounds++;
      if (!stopped) engine.ramZero(disk.id, 0, 1, owner);
    },
  };
  engine.ramZero(disk.id, 0, 1, owner);
  engine.run();
  await new Promise((resolve) => setTimeout(resolve, 5));
  t.true(rounds > 100);
  stopped = true;
  await engine.drain();
  t.is(engine.inFlight, 0);
});

test('an owner that throws loses no other completion', (t) => {
  const defects: unknown[] = [];
  const { engine, memory } = setUp(t, { defect: (error) => defects.push(error) });
  const disk = memory.mapAnonymous(PAGE);
  const before = new Recorder();
  const after = new Recorder();
  const bad = new Recorder(() => {
    throw new Error('owner');
  });
  let ends = 0;
  engine.addBatchEndListener({
    batchEnded() {
      throw new Error('listener');
    },
  });
  engine.addBatchEndListener({ batchEnded: () => ends++ });
  for (const owner of [before, bad, after]) engine.ramZero(disk.id, 0, 1, owner);
  engine.run();
  t.deepEqual([before.results, after.results], [[0], [0]]);
  t.is(ends, 1);
  t.deepEqual(
    defects.map((error) => (error as Error).message),
    ['owner', 'listener'],
  );
  engine.ramZero(disk.id, 0, 1, before);
  engine.run();
  t.deepEqual(before.results, [0, 0]);
});
