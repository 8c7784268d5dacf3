/** PERSISTENT RESERVE OUT: REGISTER, REGISTER AND IGNORE EXISTING KEY, REGISTER AND MOVE (SPC-4 5.12.7, 5.12.8). */
import test from 'ava';
import { Core } from '../../support/core.ts';
import {
  type OutFields,
  outcome,
  readFullStatus,
  readKeys,
  readReservation,
  sendOut,
  TYPES,
} from '../../support/persistent-reservations.ts';
import { attentionsOf, out, sasId, setUp } from '../../support/registered-initiators.ts';

const MAXIMUM_REGISTRATIONS = 1024;

// REGISTER and REGISTER AND IGNORE EXISTING KEY (SPC-4 tables 51 and 52).

const REGISTER_TABLE: {
  what: string;
  registered: boolean;
  fields: OutFields;
  register: string;
  ignore: string;
  after: { register: number[]; ignore: number[] };
}[] = [
  {
    what: 'a new key, no old one',
    registered: false,
    fields: { actionKey: 9 },
    register: 'good',
    ignore: 'good',
    after: { register: [9], ignore: [9] },
  },
  {
    what: 'a new key and an old one that was never registered',
    registered: false,
    fields: { key: 5, actionKey: 9 },
    register: 'conflict',
    ignore: 'good',
    after: { register: [], ignore: [9] },
  },
  {
    what: 'nothing',
    registered: false,
    fields: {},
    register: 'good',
    ignore: 'good',
    after: { register: [], ignore: [] },
  },
  {
    what: 'a new key and the right old one',
    registered: true,
    fields: { key: 1, actionKey: 9 },
    register: 'good',
    ignore: 'good',
    after: { register: [9], ignore: [9] },
  },
  {
    what: 'a new key and the wrong old one',
    registered: true,
    fields: { key: 5, actionKey: 9 },
    register: 'conflict',
    ignore: 'good',
    after: { register: [1], ignore: [9] },
  },
  {
    what: 'no key and the right old one',
    registered: true,
    fields: { key: 1 },
    register: 'good',
    ignore: 'good',
    after: { register: [], ignore: [] },
  },
  {
    what: 'no key and the wrong old one',
    registered: true,
    fields: { key: 5 },
    register: 'conflict',
    ignore: 'good',
    after: { register: [1], ignore: [] },
  },
];
for (const { what, registered, fields, after, ...expected } of REGISTER_TABLE) {
  test(`REGISTER ${registered ? 'when registered' : 'when not registered'} with ${what}`, async (t) => {
    for (const action of ['register', 'ignore'] as const) {
      const { initiator } = new Core();
      if (registered) await sendOut(initiator, 'register', { actionKey: 1 });
      const name = action === 'register' ? 'register' : 'registerAndIgnore';
      t.is(await out(initiator, name, fields), expected[action], action);
      t.deepEqual((await readKeys(initiator)).keys, after[action], action);
    }
  });
}

test('SPEC_I_PT registers ports that never connected, all or none', async (t) => {
  const core = new Core();
  const second = core.connect('naa.5000000000000002');
  await sendOut(second, 'register', { actionKey: 2 });
  const noId = new Uint8Array(24).fill(0x0f);
  const register = (specified: Uint8Array[]) => out(core.initiator, 'register', { actionKey: 1, specified });
  t.is(await register([sasId(8), noId]), '5 2600');
  t.is(await register([sasId(8), sasId(2)]), '5 2600', 'one is registered already');
  t.deepEqual((await readKeys(second)).keys, [2]);
  t.is(await register([sasId(7), sasId(8)]), 'good');
  t.deepEqual((await readKeys(second)).keys, [2, 1, 1, 1]);
  const again = await sendOut(core.initiator, 'register', { key: 1, actionKey: 3, specified: [sasId(9)] });
  t.is(outcome(again), '5 2600', 'when registered');
  t.deepEqual([...again.sense.subarray(15, 18)], [0x8b, 0, 20]);
  t.is(await out(core.connect('naa.5000000000000007'), 'register', { key: 1, actionKey: 7 }), 'good');
  t.is(await out(second, 'registerAndIgnore', { actionKey: 1, specified: [sasId(9)] }), '5 2600');
});

test('ALL_TG_PT registers, changes and unregisters on every target port', async (t) => {
  const core = new Core();
  const elsewhere = core.connect('naa.5000000000000001', 2);
  const third = core.connect('naa.5000000000000001', 3);
  t.is(await out(third, 'register', { actionKey: 5 }), 'good');
  t.is(await out(core.initiator, 'register', { actionKey: 1, allPorts: true }), 'good');
  // As if it had come through each port: port 3 has a key already, so there REGISTER with key 0 conflicts.
  t.deepEqual(
    (await readFullStatus(third)).map(({ key, port }) => [key, port]),
    [
      [5, 3],
      [1, 1],
      [1, 2],
    ],
  );
  t.is(await out(elsewhere, 'register', { key: 1, actionKey: 6, allPorts: true }), 'good');
  t.deepEqual((await readKeys(third)).keys, [5, 6, 6]);
  t.is(await out(elsewhere, 'registerAndIgnore', { actionKey: 7, allPorts: true }), 'good');
  t.deepEqual((await readKeys(third)).keys, [7, 7, 7]);
  const later = core.connect('naa.5000000000000001', 4);
  t.is(await out(later, 'reserve', { key: 7, type: TYPES.WE }), 'conflict', 'a port that came later');
  t.is(await out(core.initiator, 'registerAndIgnore', { allPorts: true }), 'good');
  t.deepEqual((await readKeys(third)).keys, []);
});

test('a registration outlives its connection and belongs to the port it was made through', async (t) => {
  const { core, a, b } = await setUp();
  await sendOut(a, 'reserve', { key: 1, type: TYPES.EA });
  a.nexus.close();
  t.is((await readReservation(b))?.key, 1);
  const back = core.connect('naa.5000000000000001');
  t.is(await out(back, 'release', { key: 1, type: TYPES.EA }), 'good');
  t.is(await out(core.connect('naa.5000000000000001', 2), 'reserve', { key: 1, type: TYPES.EA }), 'conflict');
});

test('more registrations than there is room for are refused, none made', async (t) => {
  const { initiator } = new Core();
  const specified = Array.from({ length: MAXIMUM_REGISTRATIONS }, (_, i) => {
    const id = sasId(0);
    id.set([1, i >> 8, i & 0xff], 5);
    return id;
  });
  t.is(await out(initiator, 'register', { actionKey: 1, specified }), '5 5504');
  t.deepEqual((await readKeys(initiator)).keys, []);
  t.is(await out(initiator, 'register', { actionKey: 1, specified: specified.slice(1) }), 'good');
  t.is((await readKeys(initiator)).keys.length, 511, 'as many as fit into the allocation length');
});

// REGISTER AND MOVE.

test('REGISTER AND MOVE hands the reservation to a port that need not be connected', async (t) => {
  const { core, a, b, c } = await setUp();
  const to = { transportId: sasId(9), port: 1 };
  t.is(await out(a, 'registerAndMove', { key: 1, actionKey: 9, to }), '5 2400', 'nothing to move');
  await sendOut(a, 'reserve', { key: 1, type: TYPES.EA_RO });
  t.is(await out(b, 'registerAndMove', { key: 2, actionKey: 9, to }), 'conflict', 'not the holder');
  t.is(await out(a, 'registerAndMove', { key: 5, actionKey: 9, to }), 'conflict', 'the wrong key');
  t.is(await out(a, 'registerAndMove', { key: 1, to }), '5 2600', 'key 0');
  t.is(await out(a, 'registerAndMove', { key: 1, actionKey: 9, to: { ...to, port: 99 } }), '5 2600');
  core.connect('naa.500000000000000b', 2);
  const itself = { transportId: sasId(1), port: 2 };
  t.is(
    await out(a, 'registerAndMove', { key: 1, actionKey: 9, to: itself }),
    '5 2600',
    'on another port, even',
  );
  const nonsense = { transportId: new Uint8Array(24).fill(0xff), port: 1 };
  t.is(await out(a, 'registerAndMove', { key: 1, actionKey: 9, to: nonsense }), '5 2600');

  t.is(await out(a, 'registerAndMove', { key: 1, actionKey: 9, to }), 'good');
  t.deepEqual(await readReservation(b), { key: 9, type: TYPES.EA_RO });
  t.deepEqual((await readKeys(b)).keys, [1, 2, 3, 9]);
  const heir = core.connect('naa.5000000000000009');
  const back = { transportId: sasId(2), port: 1 };
  t.is(await out(heir, 'registerAndMove', { key: 9, actionKey: 22, to: back, unregister: true }), 'good');
  t.deepEqual(await readReservation(b), { key: 22, type: TYPES.EA_RO });
  t.deepEqual((await readKeys(b)).keys, [1, 22, 3]);
  t.deepEqual(await attentionsOf({ a, b, c, heir }), { a: [], b: [], c: [], heir: [] });
});

test('REGISTER AND MOVE cannot move what every registrant holds', async (t) => {
  const { a } = await setUp();
  await sendOut(a, 'reserve', { key: 1, type: TYPES.WE_AR });
  const to = { transportId: sasId(9), port: 1 };
  t.is(await out(a, 'registerAndMove', { key: 1, actionKey: 9, to }), 'conflict');
});
