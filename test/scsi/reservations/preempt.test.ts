/** PERSISTENT RESERVE OUT: PREEMPT, PREEMPT AND ABORT (SPC-4 5.12.11.4 and 5.12.11.5). */
import test from 'ava';
import { Status } from '../../../src/scsi/status-spec.ts';
import { outcome, readKeys, readReservation, sendOut, TYPES } from '../../support/persistent-reservations.ts';
import { ALL_TYPES, attentionsOf, out, setUp } from '../../support/registered-initiators.ts';

for (const type of ALL_TYPES) {
  const shared = type.endsWith('AR');
  test(`${type}: PREEMPT of the holder takes the reservation over`, async (t) => {
    const { core, a, b, c, d } = await setUp();
    const twin = core.connect('naa.5000000000000001', 2);
    await sendOut(twin, 'register', { actionKey: 1 });
    await sendOut(a, 'reserve', { key: 1, type: TYPES[type] });
    t.is(await out(d, 'preempt', { actionKey: 1, type: TYPES.EA }), 'conflict');
    t.is(await out(b, 'preempt', { key: 2, actionKey: 77, type: TYPES.EA }), 'conflict', 'a key nobody has');
    t.is(await out(b, 'preempt', { key: 2, actionKey: 1, type: TYPES.EA_AR }), 'good');
    if (shared) {
      // An all registrants reservation is preempted with key 0 only; other keys just lose registrations.
      t.deepEqual(await readReservation(b), { key: 0, type: TYPES[type] });
      t.deepEqual(await attentionsOf({ a, twin, b, c }), { a: ['2a05'], twin: ['2a05'], b: [], c: [] });
      t.is(await out(b, 'preempt', { key: 2, type: TYPES.WE }), 'good');
      t.deepEqual(await readReservation(b), { key: 2, type: TYPES.WE });
      t.deepEqual(await attentionsOf({ a, b, c, d }), { a: [], b: [], c: ['2a05'], d: [] });
      t.deepEqual((await readKeys(b)).keys, [2]);
      return;
    }
    t.deepEqual(await readReservation(b), { key: 0, type: TYPES.EA_AR });
    t.deepEqual((await readKeys(b)).keys, [2, 3]);
    t.deepEqual(await attentionsOf({ a, twin, b, c, d }), {
      a: ['2a05'],
      twin: ['2a05'],
      b: [],
      c: ['2a04'],
      d: [],
    });
  });

  test(`${type}: PREEMPT of another registrant leaves the reservation alone`, async (t) => {
    const { a, b, c, d } = await setUp();
    await sendOut(a, 'reserve', { key: 1, type: TYPES[type] });
    // SCOPE and TYPE are ignored then.
    t.is(await out(b, 'preempt', { key: 2, actionKey: 3, type: 0xf, scope: 3 }), 'good');
    t.is((await readReservation(a))?.type, TYPES[type]);
    t.deepEqual((await readKeys(a)).keys, [1, 2]);
    t.deepEqual(await attentionsOf({ a, b, c, d }), { a: [], b: [], c: ['2a05'], d: [] });
    t.is(await out(b, 'preempt', { key: 2, actionKey: 2 }), 'good', 'itself');
    t.deepEqual((await readKeys(a)).keys, [1]);
    t.deepEqual(await attentionsOf({ a, b, c, d }), { a: [], b: [], c: [], d: [] });
  });
}

test('PREEMPT by the holder of its own key changes the type and keeps the registration', async (t) => {
  const { a, b, c, d } = await setUp();
  await sendOut(a, 'reserve', { key: 1, type: TYPES.WE });
  t.is(await out(a, 'preempt', { key: 1, actionKey: 1, type: TYPES.EA_RO }), 'good');
  t.deepEqual(await readReservation(a), { key: 1, type: TYPES.EA_RO });
  t.deepEqual(await attentionsOf({ a, b, c, d }), { a: [], b: ['2a04'], c: ['2a04'], d: [] });
  t.is(await out(a, 'preempt', { key: 1, actionKey: 1, type: TYPES.EA_RO }), 'good');
  t.deepEqual(await attentionsOf({ a, b, c, d }), { a: [], b: [], c: [], d: [] }, 'nothing changed for them');
});

test('PREEMPT refuses key 0 unless every registrant holds the reservation', async (t) => {
  const { a, b } = await setUp();
  t.is(
    await out(b, 'preempt', { key: 2, type: TYPES.WE }),
    'conflict',
    'no reservation: nobody has that key',
  );
  await sendOut(a, 'reserve', { key: 1, type: TYPES.WE });
  const result = await sendOut(b, 'preempt', { key: 2, type: TYPES.WE });
  t.is(outcome(result), '5 2600');
  t.deepEqual([...result.sense.subarray(15, 18)], [0x80, 0, 8]);
  t.is(await out(b, 'preempt', { key: 2, actionKey: 1, type: 2 }), '5 2400');
  t.deepEqual(await readReservation(a), { key: 1, type: TYPES.WE });
});

test('PREEMPT without a reservation removes registrations, its own too', async (t) => {
  const { a, b, c, d } = await setUp();
  t.is(await out(b, 'preempt', { key: 2, actionKey: 3 }), 'good');
  t.is(await out(b, 'preempt', { key: 2, actionKey: 2 }), 'good');
  t.deepEqual((await readKeys(a)).keys, [1]);
  t.deepEqual(await attentionsOf({ a, b, c, d }), { a: [], b: [], c: ['2a05'], d: [] });
});

// PREEMPT AND ABORT.

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };

test('PREEMPT AND ABORT answers when the commands of the preempted have ended, and of nobody else', async (t) => {
  const { core, a, b, c } = await setUp();
  await sendOut(a, 'reserve', { key: 1, type: TYPES.WE_RO });
  core.disk.control.tas = true;
  core.backstore.hold = true;
  a.nexus.unit(0)!.preventsRemoval = true;
  const [ofA, ofB, ofC] = [a.start(READ), b.start(READ), c.start(READ)];
  const stubborn = core.backstore.held[0];
  core.backstore.cancel = () => {};
  let answered = false;
  const preempting = sendOut(b, 'preemptAndAbort', { key: 2, actionKey: 1, type: TYPES.EA }).then(
    (result) => {
      answered = true;
      return result;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  t.false(answered, 'the backstore still writes into the memory of the preempted');
  t.is(core.backstore.held[0], stubborn);
  core.backstore.releaseHeld(1);
  t.is((await ofA.result).status, Status.TASK_ABORTED);
  t.is(outcome(await preempting), 'good');
  t.false(a.nexus.unit(0)!.preventsRemoval);
  core.backstore.releaseHeld();
  t.is(outcome(await ofB.result), 'good');
  t.is(outcome(await ofC.result), 'good');
  t.deepEqual(await readReservation(b), { key: 2, type: TYPES.EA });
  t.deepEqual(await attentionsOf({ a, b, c }), { a: ['2a05'], b: [], c: ['2a04'] });
});

test('PREEMPT AND ABORT of a reservation that all hold ends the commands of all, those of its sender too', async (t) => {
  const { core, a, b, d } = await setUp();
  await sendOut(a, 'reserve', { key: 1, type: TYPES.WE_AR });
  core.backstore.hold = true;
  const running = [a, b, d].map((initiator) => initiator.start(READ));
  t.is(await out(b, 'preemptAndAbort', { key: 2, type: TYPES.WE }), 'good');
  core.backstore.releaseHeld();
  const aborted = await Promise.all(running.map(async ({ result }) => (await result).aborted));
  t.deepEqual(aborted, [true, true, false], 'the last one was not registered');
});

test('CLEAR ends what PREVENT ALLOW MEDIUM REMOVAL held of the registered', async (t) => {
  const { a, b, d } = await setUp();
  const itls = [a, b, d].map((initiator) => initiator.nexus.unit(0)!);
  for (const itl of itls) itl.preventsRemoval = true;
  await sendOut(a, 'clear', { key: 1 });
  t.deepEqual(
    itls.map(({ preventsRemoval }) => preventsRemoval),
    [false, false, true],
  );
});

test('PREEMPT leaves the commands of the preempted running', async (t) => {
  const { core, a, b } = await setUp();
  await sendOut(a, 'reserve', { key: 1, type: TYPES.EA });
  core.backstore.hold = true;
  const running = a.start(READ);
  t.is(await out(b, 'preempt', { key: 2, actionKey: 1, type: TYPES.EA }), 'good');
  core.backstore.releaseHeld();
  t.is(outcome(await running.result), 'good');
});

test('of two that preempt each other at once, the first wins and the second conflicts', async (t) => {
  const { core, a, b } = await setUp();
  core.disk.control.tas = true;
  await sendOut(a, 'reserve', { key: 1, type: TYPES.EA });
  const results = await Promise.all([
    sendOut(b, 'preemptAndAbort', { key: 2, actionKey: 1, type: TYPES.EA }),
    sendOut(a, 'preemptAndAbort', { key: 1, actionKey: 2, type: TYPES.EA }),
  ]);
  t.is(outcome(results[0]), 'good');
  t.true(results[1].aborted);
  t.deepEqual((await readKeys(b)).keys, [2, 3]);
});
