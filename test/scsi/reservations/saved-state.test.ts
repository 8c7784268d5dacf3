import test from 'ava';
import fc from 'fast-check';
import { DamagedStateError } from '../../../src/scsi/damaged-state-error.ts';
import {
  idOf,
  NOTHING_RESERVED,
  type PersistentState,
} from '../../../src/scsi/reservations/persistent-state.ts';
import { format, parse, STORE_NAME } from '../../../src/scsi/reservations/saved-state.ts';
import { Core, TestStore } from '../../support/core.ts';
import {
  outcome,
  readKeys,
  readReservation,
  sendIn,
  sendOut,
  TYPES,
  unitAttentions,
} from '../../support/persistent-reservations.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };

/** A store whose next saves wait, or fail, as a test says. */
class SlowStore extends TestStore {
  /** Releases the save that waits; undefined when saves do not wait. */
  gate: Promise<void> | undefined = undefined;
  failures = 0;
  saves = 0;

  override async save(name: string, text: string): Promise<void> {
    this.saves++;
    await this.gate;
    if (this.failures > 0) {
      this.failures--;
      // The worst case: the new text is there all the same.
      await super.save(name, text);
      throw new Error('fsync failed');
    }
    await super.save(name, text);
  }
}

/** Registers two initiators and reserves; returns the store and nothing else, as a killed process does. */
async function reserved(aptpl: boolean, attributes = {}): Promise<TestStore> {
  const store = new TestStore();
  const core = new Core({ store, powerOnId: 'boot 1', attributes });
  const second = core.connect('naa.5000000000000002', 2);
  await sendOut(core.initiator, 'register', { actionKey: 1 });
  await sendOut(second, 'register', { actionKey: 2, aptpl });
  await sendOut(second, 'reserve', { key: 2, type: TYPES.EA_RO });
  return store;
}

const RESTARTS = [
  { what: 'a restart of the process', powerOnId: 'boot 1', aptpl: false, kept: true, generation: 2 },
  { what: 'a restart of the process, APTPL', powerOnId: 'boot 1', aptpl: true, kept: true, generation: 2 },
  { what: 'a loss of power', powerOnId: 'boot 2', aptpl: false, kept: false, generation: 0 },
  { what: 'a loss of power, APTPL', powerOnId: 'boot 2', aptpl: true, kept: true, generation: 0 },
  { what: 'a start that knows no power-on', powerOnId: undefined, aptpl: false, kept: false, generation: 0 },
  {
    what: 'a start that knows no power-on, APTPL',
    powerOnId: undefined,
    aptpl: true,
    kept: true,
    generation: 0,
  },
];
for (const { what, powerOnId, aptpl, kept, generation } of RESTARTS) {
  test(`after ${what}, registrations and reservation are ${kept ? 'there' : 'gone'} before the first command`, async (t) => {
    const core = new Core({ store: await reserved(aptpl), powerOnId });
    t.is(core.disk.reservations.held, kept);
    const stranger = core.connect('naa.5000000000000003');
    t.is(outcome(await stranger.send(READ)), kept ? 'conflict' : 'good');
    t.deepEqual(await readKeys(stranger), { generation, keys: kept ? [1, 2] : [] });
    t.deepEqual(await readReservation(stranger), kept ? { key: 2, type: TYPES.EA_RO } : undefined);
    const second = core.connect('naa.5000000000000002', 2);
    t.is(
      outcome(await sendOut(second, 'release', { key: 2, type: TYPES.EA_RO })),
      kept ? 'good' : 'conflict',
    );
  });
}

test('force_pr_aptpl keeps registrations over a loss of power though nobody asked', async (t) => {
  const store = await reserved(false, { force_pr_aptpl: 1 });
  const { initiator } = new Core({ store, powerOnId: 'boot 2' });
  t.deepEqual((await readKeys(initiator)).keys, [1, 2]);
});

test('a registration that came back after a loss of power is there after the next restart, too', async (t) => {
  const store = await reserved(true);
  const { initiator } = new Core({ store, powerOnId: 'boot 2' });
  await sendOut(initiator, 'register', { key: 1, actionKey: 11 });
  const again = new Core({ store, powerOnId: 'boot 2' });
  t.deepEqual(await readKeys(again.initiator), { generation: 1, keys: [11, 2] });
});

test('APTPL without a store is refused with a pointer to the bit', async (t) => {
  const { initiator } = new Core();
  const result = await sendOut(initiator, 'register', { actionKey: 1, aptpl: true });
  t.is(outcome(result), '5 2600');
  t.deepEqual([...result.sense.subarray(15, 18)], [0x88, 0, 20]);
});

test('GOOD comes when the new state is on stable storage, in force before that it is not', async (t) => {
  const store = new SlowStore();
  const core = new Core({ store });
  const { initiator } = core;
  let open = () => {};
  store.gate = new Promise((resolve) => (open = resolve));
  const done: string[] = [];
  const registering = sendOut(initiator, 'register', { actionKey: 1 }).then(() => done.push('register'));
  const reserving = sendOut(initiator, 'reserve', { key: 1, type: TYPES.WE }).then(() =>
    done.push('reserve'),
  );
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual((await readKeys(initiator)).keys, []);
  t.deepEqual(done, []);
  t.is(store.saves, 1, 'the second waits for the first');
  open();
  await Promise.all([registering, reserving]);
  t.deepEqual(done, ['register', 'reserve']);
  t.deepEqual(await readReservation(initiator), { key: 1, type: TYPES.WE });
});

test('a command that is aborted while it waits for its turn does nothing', async (t) => {
  const store = new SlowStore();
  const core = new Core({ store });
  let open = () => {};
  store.gate = new Promise((resolve) => (open = resolve));
  const registering = sendOut(core.initiator, 'register', { actionKey: 1 });
  const second = core.connect('naa.5000000000000002');
  const waiting = sendOut(second, 'register', { actionKey: 2 });
  await new Promise((resolve) => setImmediate(resolve));
  const { taskSet } = core.disk;
  taskSet.abort(
    taskSet.filter((task) => task.nexus === second.nexus),
    second.nexus,
  );
  open();
  t.is(outcome(await registering), 'good');
  t.true((await waiting).aborted);
  t.deepEqual((await readKeys(core.initiator)).keys, [1]);
});

test('a save that fails fails the command, changes nothing, tells nobody, and is rolled back', async (t) => {
  const store = new SlowStore();
  const core = new Core({ store, powerOnId: 'boot 1' });
  const second = core.connect('naa.5000000000000002');
  await sendOut(core.initiator, 'register', { actionKey: 1 });
  await sendOut(second, 'register', { actionKey: 2 });
  const before = store.texts.get(STORE_NAME);
  store.failures = 1;
  t.is(outcome(await sendOut(second, 'clear', { key: 2 })), '4 4400');
  t.deepEqual((await readKeys(second)).keys, [1, 2]);
  t.deepEqual(await unitAttentions(core.initiator), []);
  t.is(store.texts.get(STORE_NAME), before);
  t.is(outcome(await sendOut(second, 'clear', { key: 2 })), 'good');
});

const GOOD_TEXT = format(
  {
    ...NOTHING_RESERVED,
    registrations: new Map([
      ['06aa,1', { transportId: '06aa', relativePort: 1, key: '00000000000000ff' }],
      ['06bb,1', { transportId: '06bb', relativePort: 1, key: '00000000000000ff' }],
    ]),
    reservation: { type: TYPES.WE, holder: '06bb,1' },
  },
  'boot 1',
);
const DAMAGES: { what: string; damage: (text: string) => string }[] = [
  { what: 'empty', damage: () => '' },
  { what: 'cut short', damage: (text) => text.slice(0, -9) },
  { what: 'zeroes', damage: (text) => '\0'.repeat(text.length) },
  { what: 'no object', damage: () => '[]' },
  { what: 'of another version', damage: (text) => text.replace('"version": 1', '"version": 2') },
  { what: 'without APTPL', damage: (text) => text.replace('"aptpl"', '"apptl"') },
  {
    what: 'with a strange generation',
    damage: (text) => text.replace('"generation": 0', '"generation": -1'),
  },
  { what: 'with a short key', damage: (text) => text.replace('00000000000000ff', 'ff') },
  { what: 'with key 0', damage: (text) => text.replace('00000000000000ff', '0000000000000000') },
  { what: 'with a registration twice', damage: (text) => text.replace('06bb', '06aa') },
  { what: 'with a malformed TransportID', damage: (text) => text.replace('06bb', '06b') },
  {
    what: 'with a port out of range',
    damage: (text) => text.replace('"relativePort": 1', '"relativePort": 65536'),
  },
  { what: 'with an unknown type', damage: (text) => text.replace('"type": 1', '"type": 2') },
  {
    what: 'with a holder that is not registered',
    damage: (text) => text.replace('"holder": 1', '"holder": 2'),
  },
  { what: 'with no holder', damage: (text) => text.replace('"holder": 1', '"holder": null') },
  { what: 'with a single holder of all', damage: (text) => text.replace('"type": 1', '"type": 7') },
];
for (const { what, damage } of DAMAGES) {
  test(`a saved state that is ${what} keeps the unit from starting, with the reason`, (t) => {
    const store = new TestStore();
    store.texts.set(STORE_NAME, damage(GOOD_TEXT));
    const error = t.throws(() => new Core({ store, powerOnId: 'boot 1' }), { instanceOf: DamagedStateError });
    t.is(error?.entry, STORE_NAME);
    t.regex(error?.message ?? '', /damaged: ./);
  });
}

test('the owner may start with lost reservations: nobody gets in until REPLACE LOST RESERVATION', async (t) => {
  const store = new TestStore();
  store.texts.set(STORE_NAME, 'rubbish');
  const options = { store, powerOnId: 'boot 1', damagedReservations: 'lost' } as const;
  const core = new Core(options);
  const { initiator } = core;
  const lost = '7 4401';
  t.is(outcome(await initiator.send(READ)), lost);
  t.is(outcome(await initiator.send({ cdb: [0, 0, 0, 0, 0, 0] })), lost);
  t.is(outcome(await initiator.send({ cdb: [0x16, 0, 0, 0, 0, 0] })), lost);
  t.is(outcome(await initiator.send({ cdb: [0x12, 0, 0, 0, 36, 0], dataInLength: 36 })), 'good');
  t.is(outcome(await initiator.send({ cdb: [0x1b, 0, 0, 0, 1, 0] })), 'good');
  t.is(outcome(await initiator.send({ cdb: [0x1b, 0, 0, 0, 0, 0] })), lost);
  t.is(outcome(await initiator.send({ cdb: [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], dataInLength: 8 })), lost);
  t.is(outcome(await sendIn(initiator, 0)), lost);
  t.is(outcome(await sendOut(initiator, 'register', { actionKey: 1 })), lost);
  t.is(store.texts.get(STORE_NAME), 'rubbish', 'kept for whoever wants to look');
  t.is(outcome(await sendOut(initiator, 'replaceLost', { type: TYPES.EA })), '5 2600');
  t.is(outcome(await sendOut(initiator, 'replaceLost', { actionKey: 5, type: 2 })), '5 2400');
  t.is(outcome(await sendOut(initiator, 'replaceLost', { key: 1, actionKey: 5, type: TYPES.EA })), '5 2600');
  t.is(outcome(await sendOut(initiator, 'replaceLost', { actionKey: 5, type: TYPES.EA })), 'good');
  t.is(outcome(await initiator.send(READ)), 'good');
  t.is(outcome(await core.connect('naa.5000000000000002').send(READ)), 'conflict');
  const again = new Core({ store, powerOnId: 'boot 1' });
  t.deepEqual(await readReservation(again.initiator), { key: 5, type: TYPES.EA });
});

const hexText = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'.split('')), { minLength: length, maxLength: length })
    .map((d) => d.join(''));
const registrationArbitrary = fc.record({
  transportId: hexText(48),
  relativePort: fc.integer({ min: 1, max: 65535 }),
  key: hexText(16).filter((key) => key !== '0000000000000000'),
});
const stateArbitrary: fc.Arbitrary<PersistentState> = fc
  .record({
    generation: fc.integer({ min: 0, max: 0xffff_ffff }),
    aptpl: fc.boolean(),
    registered: fc.array(registrationArbitrary, { minLength: 1, maxLength: 8 }),
    type: fc.constantFrom(undefined, ...Object.values(TYPES)),
    holder: fc.nat(),
  })
  .map(({ generation, aptpl, registered, type, holder }) => {
    const registrations = new Map(registered.map((registration) => [idOf(registration), registration]));
    const ids = [...registrations.keys()];
    const held =
      type === undefined ? undefined : { type, holder: type >= 7 ? undefined : ids[holder % ids.length] };
    return { generation, aptpl, registrations, reservation: held, lost: false };
  });

test('what is saved is what comes back', (t) => {
  fc.assert(
    fc.property(stateArbitrary, (state) => {
      t.deepEqual(parse(format(state, 'boot'), 'boot'), state);
    }),
  );
});

test('a state with any one character changed is read as some state or refused as damaged', (t) => {
  fc.assert(
    fc.property(
      stateArbitrary,
      fc.nat(),
      fc.string({ minLength: 1, maxLength: 1 }),
      (state, at, character) => {
        const text = format(state, 'boot');
        const index = at % text.length;
        try {
          parse(text.slice(0, index) + character + text.slice(index + 1), 'boot');
        } catch (error) {
          t.true(error instanceof DamagedStateError, String(error));
        }
      },
    ),
  );
  t.pass();
});
