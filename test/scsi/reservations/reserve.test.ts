/** PERSISTENT RESERVE OUT: RESERVE, RELEASE, CLEAR, REPLACE LOST RESERVATION, by type (SPC-4 5.12.9 and 5.12.11). */
import test from 'ava';
import type { Initiator } from '../../../src/fabrics/loopback/initiator.ts';
import {
  type Out,
  type OutFields,
  readKeys,
  readReservation,
  sendOut,
  TYPES,
} from '../../support/persistent-reservations.ts';
import { ALL_TYPES, attentionsOf, out, sasId, setUp } from '../../support/registered-initiators.ts';

// RESERVE and RELEASE.

test('RESERVE asks for registration, the right key, a known type and the whole unit, in this order', async (t) => {
  const { a, d } = await setUp();
  t.is(await out(d, 'reserve', { type: TYPES.WE }), 'conflict');
  t.is(await out(a, 'reserve', { key: 9, type: 0xf }), 'conflict');
  for (const type of [0, 2, 4, 9, 0xf])
    t.is(await out(a, 'reserve', { key: 1, type }), '5 2400', `type ${type}`);
  t.is(await out(a, 'reserve', { key: 1, type: TYPES.WE, scope: 1 }), '5 2400');
  const { sense } = await sendOut(a, 'reserve', { key: 1, type: 0xf });
  t.deepEqual([...sense.subarray(15, 18)], [0xcb, 0, 2]);
});

for (const type of ALL_TYPES) {
  const shared = type.endsWith('AR');
  test(`${type}: RESERVE by a holder again changes nothing; by others, or with another type, it conflicts`, async (t) => {
    const { a, b } = await setUp();
    t.is(await out(a, 'reserve', { key: 1, type: TYPES[type] }), 'good');
    t.is(await out(a, 'reserve', { key: 1, type: TYPES[type] }), 'good');
    t.is(await out(b, 'reserve', { key: 2, type: TYPES[type] }), shared ? 'good' : 'conflict');
    const another = type === 'WE' ? TYPES.EA : TYPES.WE;
    t.is(await out(a, 'reserve', { key: 1, type: another }), 'conflict');
    t.deepEqual(await readReservation(b), { key: shared ? 0 : 1, type: TYPES[type] });
  });

  test(`${type}: RELEASE tells the other registrants where they shared it`, async (t) => {
    const { a, b, c, d } = await setUp();
    await sendOut(a, 'reserve', { key: 1, type: TYPES[type] });
    t.is(await out(d, 'release', { type: TYPES[type] }), 'conflict', 'not registered');
    t.is(await out(a, 'release', { key: 7, type: TYPES[type] }), 'conflict', 'wrong key');
    const wrong = type === 'WE' ? TYPES.EA : TYPES.WE;
    t.is(await out(a, 'release', { key: 1, type: wrong }), '5 2604');
    t.is(await out(a, 'release', { key: 1, type: TYPES[type], scope: 2 }), '5 2604');
    if (!shared) t.is(await out(b, 'release', { key: 2, type: wrong }), 'good', 'no holder, no error');
    t.is((await readReservation(a))?.type, TYPES[type]);
    const holder = shared ? b : a;
    t.is(await out(holder, 'release', { key: shared ? 2 : 1, type: TYPES[type] }), 'good');
    t.is(await readReservation(holder), undefined);
    const told = type === 'WE' || type === 'EA' ? [] : ['2a04'];
    t.deepEqual(await attentionsOf({ a, b, c, d }), {
      a: shared ? told : [],
      b: shared ? [] : told,
      c: told,
      d: [],
    });
    t.is(
      await out(holder, 'release', { key: shared ? 2 : 1, type: TYPES[type] }),
      'good',
      'nothing to release',
    );
    t.deepEqual((await readKeys(a)).keys, [1, 2, 3]);
  });

  test(`${type}: the reservation goes when its last holder unregisters`, async (t) => {
    const { a, b, c, d } = await setUp();
    await sendOut(a, 'reserve', { key: 1, type: TYPES[type] });
    t.is(await out(a, 'register', { key: 1 }), 'good');
    t.deepEqual(await readReservation(a), shared ? { key: 0, type: TYPES[type] } : undefined);
    const told = type.endsWith('RO') ? ['2a04'] : [];
    // Above all, no unit attention for the one that unregistered, nor in answer to PERSISTENT RESERVE IN (tgt).
    t.deepEqual(await attentionsOf({ a, b, c, d }), { a: [], b: told, c: told, d: [] });
    await sendOut(b, 'register', { key: 2 });
    await sendOut(c, 'register', { key: 3 });
    t.is(await readReservation(a), undefined);
    t.deepEqual(await attentionsOf({ a, b, c, d }), { a: [], b: [], c: [], d: [] });
  });

  test(`${type}: CLEAR by any registrant ends everything and tells the others`, async (t) => {
    const { a, b, c, d } = await setUp();
    await sendOut(a, 'reserve', { key: 1, type: TYPES[type] });
    t.is(await out(d, 'clear'), 'conflict');
    t.is(await out(b, 'clear', { key: 1 }), 'conflict');
    t.is(await out(b, 'clear', { key: 2 }), 'good');
    t.is(await readReservation(b), undefined);
    t.deepEqual((await readKeys(b)).keys, []);
    t.deepEqual(await attentionsOf({ a, b, c, d }), { a: ['2a03'], b: [], c: ['2a03'], d: [] });
  });
}

test('REPLACE LOST RESERVATION is out of place while nothing is lost', async (t) => {
  const { a, d } = await setUp();
  t.is(await out(d, 'replaceLost', { actionKey: 1, type: TYPES.WE }), '5 2604');
  await sendOut(a, 'reserve', { key: 1, type: TYPES.WE });
  t.is(await out(a, 'replaceLost', { actionKey: 1, type: TYPES.WE }), '5 2604');
  t.is(await out(d, 'replaceLost', { actionKey: 1, type: TYPES.WE }), 'conflict');
});
// PRGENERATION.

test('PRGENERATION counts the actions that the standard names, and no failure', async (t) => {
  const { a, b } = await setUp();
  const to = { transportId: sasId(9), port: 1 };
  const steps: [Initiator, Out, OutFields, number][] = [
    [a, 'reserve', { key: 1, type: TYPES.WE }, 0],
    [a, 'release', { key: 1, type: TYPES.WE }, 0],
    [a, 'register', { key: 1, actionKey: 11 }, 1],
    [a, 'register', { key: 1, actionKey: 11 }, 0],
    [a, 'registerAndIgnore', { actionKey: 1 }, 1],
    [b, 'preempt', { key: 2, actionKey: 3 }, 1],
    [b, 'preempt', { key: 2, actionKey: 3 }, 0],
    [a, 'reserve', { key: 1, type: TYPES.WE }, 0],
    [a, 'registerAndMove', { key: 1, actionKey: 9, to }, 1],
    [b, 'preemptAndAbort', { key: 2, actionKey: 9, type: TYPES.EA }, 1],
    [b, 'clear', { key: 2 }, 1],
  ];
  let expected = (await readKeys(b)).generation;
  for (const [initiator, action, fields, increment] of steps) {
    await sendOut(initiator, action, fields);
    expected += increment;
    t.is((await readKeys(b)).generation, expected, action);
  }
});
