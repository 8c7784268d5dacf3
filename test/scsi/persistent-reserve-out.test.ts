import test from 'ava';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { Core, TestStore } from '../support/core.ts';
import {
  type Out,
  type OutFields,
  outCdb,
  outcome,
  parameterList,
  readFullStatus,
  readKeys,
  readReservation,
  sendOut,
  TYPES,
  unitAttentions,
} from '../support/persistent-reservations.ts';

const ALL_TYPES = Object.keys(TYPES) as (keyof typeof TYPES)[];
const MAXIMUM_REGISTRATIONS = 1024;

/** Four initiators; the first three registered with their own number as key. */
async function setUp(store = new TestStore()) {
  const core = new Core({ store });
  const [a, b, c, d] = [
    core.initiator,
    ...['2', '3', '4'].map((digit) => core.connect(`naa.500000000000000${digit}`)),
  ];
  for (const [i, initiator] of [a, b, c].entries())
    await sendOut(initiator, 'register', { actionKey: i + 1 });
  return { core, a, b, c, d };
}

const out = async (initiator: Initiator, action: Out, fields: OutFields = {}) =>
  outcome(await sendOut(initiator, action, fields));

async function attentionsOf(initiators: Record<string, Initiator>): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  for (const [name, initiator] of Object.entries(initiators)) all[name] = await unitAttentions(initiator);
  return all;
}

function sasId(digit: number): Uint8Array {
  const id = new Uint8Array(24);
  id[0] = 0x06;
  id.set([0x50, 0, 0, 0, 0, 0, 0, digit], 4);
  return id;
}

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

  // PREEMPT.

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

// The parameter list.

const LIST_LENGTHS: { what: string; action: Out; list: Uint8Array; expected: string }[] = [
  { what: 'no list', action: 'register', list: new Uint8Array(0), expected: '5 1a00' },
  { what: '23 bytes', action: 'register', list: new Uint8Array(23), expected: '5 1a00' },
  { what: '25 bytes', action: 'clear', list: new Uint8Array(25), expected: '5 1a00' },
  { what: 'SPEC_I_PT without list', action: 'register', list: list24(8), expected: '5 1a00' },
  { what: 'a TransportID longer than said', action: 'register', list: specified(23, 24), expected: '5 1a00' },
  { what: 'a TransportID cut short', action: 'register', list: specified(20, 20), expected: '5 2600' },
  {
    what: 'REGISTER AND MOVE without TransportID',
    action: 'registerAndMove',
    list: list24(0),
    expected: '5 2600',
  },
  { what: 'a reserved bit', action: 'register', list: list24(0x80), expected: '5 2600' },
];
function list24(flags: number): Uint8Array {
  const list = parameterList({ actionKey: 1 });
  list[20] = flags;
  return list24Port(list);
}
/** Byte 19 is the low byte of REGISTER AND MOVE's RELATIVE TARGET PORT IDENTIFIER, and obsolete elsewhere. */
function list24Port(list: Uint8Array): Uint8Array {
  list[19] = 1;
  return list;
}
function specified(saidLength: number, length: number): Uint8Array {
  const list = parameterList({ actionKey: 1, specified: [sasId(5).subarray(0, length)] });
  list[27] = saidLength;
  return list;
}
for (const { what, action, list, expected } of LIST_LENGTHS) {
  test(`a parameter list with ${what} is refused and changes nothing`, async (t) => {
    const { core, a } = await setUp();
    const before = core.disk.reservations.persistent;
    const result = await core.connect('naa.5000000000000009').send({
      cdb: outCdb(action, 0, list.length),
      dataOut: list,
    });
    t.is(outcome(result), expected);
    t.is(core.disk.reservations.persistent, before);
    t.is(outcome(await a.send({ cdb: outCdb(action, 0, 24), dataOut: list.subarray(0, 10) })), '5 1a00');
  });
}

test('a list longer than any that makes sense is refused before it is copied', async (t) => {
  const { initiator } = new Core();
  t.is(
    outcome(await initiator.send({ cdb: outCdb('register', 0, 0xffff_ffff), dataOut: new Uint8Array(24) })),
    '5 1a00',
  );
});
