import test from 'ava';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { manage, TaskManagementFunction } from '../../src/scsi/task-management.ts';
import { Core } from '../support/core.ts';
import { outcome, sendIn, sendOut, TYPES, unitAttentions } from '../support/persistent-reservations.ts';

const CDBS = {
  6: { reserve: [0x16, 0, 0, 0, 0, 0], release: [0x17, 0, 0, 0, 0, 0] },
  10: { reserve: [0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0], release: [0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
} as const;
const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };
const REQUEST_SENSE = { cdb: [3, 0, 0, 0, 252, 0], dataInLength: 252 };
const MODE_SENSE = { cdb: [0x1a, 0, 0x3f, 0, 255, 0], dataInLength: 255 };

const send = async (initiator: Initiator, cdb: readonly number[]) => outcome(await initiator.send({ cdb }));

function setUp() {
  const core = new Core();
  return { core, first: core.initiator, second: core.connect('naa.5000000000000002') };
}

for (const length of [6, 10] as const) {
  const { reserve, release } = CDBS[length];

  test(`RESERVE(${length}) keeps others out until its holder sends RELEASE(${length})`, async (t) => {
    const { first, second } = setUp();
    t.is(await send(first, reserve), 'good');
    t.is(await send(first, reserve), 'good', 'once more');
    t.is(await send(second, reserve), 'conflict');
    t.is(outcome(await second.send(MODE_SENSE)), 'conflict');
    t.is(outcome(await second.send(TEST_UNIT_READY)), 'conflict');
    t.is(outcome(await second.send(REQUEST_SENSE)), 'good');
    t.is(outcome(await first.send(MODE_SENSE)), 'good');
    t.is(await send(second, release), 'good', 'no error, and no effect');
    t.is(await send(second, reserve), 'conflict');
    t.is(await send(first, release), 'good');
    t.is(await send(second, reserve), 'good');
  });

  test(`third-party and extent forms of RESERVE(${length}) are refused`, async (t) => {
    const { first } = setUp();
    for (const bit of [0x10, 0x01]) {
      for (const cdb of [reserve, release]) {
        const thirdParty = Uint8Array.from(cdb);
        thirdParty[1] = bit;
        t.is(outcome(await first.send({ cdb: thirdParty })), '5 2400');
      }
    }
  });
}

const ENDS: { what: string; end: (first: Initiator) => Promise<void> | void }[] = [
  { what: 'the holder disconnects', end: (first) => first.nexus.close() },
  { what: 'the unit is taken from the holder', end: (first) => first.nexus.detach(0) },
  ...(['LOGICAL_UNIT_RESET', 'I_T_NEXUS_RESET'] as const).map((name) => ({
    what: name,
    end: (first: Initiator) =>
      new Promise<void>((resolve) => {
        const func = TaskManagementFunction[name];
        manage({ function: func, nexus: first.nexus, lun: 0, tagHigh: 0, tagLow: 0 }, () => resolve());
      }),
  })),
];
for (const { what, end } of ENDS) {
  test(`RESERVE ends when ${what}`, async (t) => {
    const { first, second } = setUp();
    await send(first, CDBS[6].reserve);
    await end(first);
    await unitAttentions(second);
    t.is(await send(second, CDBS[6].reserve), 'good');
  });
}

test('RESERVE outlasts the end of a nexus that does not hold it', async (t) => {
  const { first, second, core } = setUp();
  await send(first, CDBS[6].reserve);
  second.nexus.close();
  t.is(await send(core.connect('naa.5000000000000003'), CDBS[6].reserve), 'conflict');
});

test('beside RESERVE, all PERSISTENT RESERVE commands conflict, the holder’s too', async (t) => {
  const { first, second } = setUp();
  await send(first, CDBS[6].reserve);
  for (const initiator of [first, second]) {
    t.is(outcome(await sendIn(initiator, 0)), 'conflict');
    t.is(outcome(await sendOut(initiator, 'registerAndIgnore', { actionKey: 1 })), 'conflict');
  }
});

/** Compatible reservation handling (SPC-4 5.12.3): what RESERVE and RELEASE get beside registrations. */
const COMPATIBLE = [
  { type: undefined, registered: 'conflict', stranger: 'conflict', holder: 'conflict' },
  { type: 'WE', registered: 'conflict', stranger: 'conflict', holder: 'good' },
  { type: 'EA', registered: 'conflict', stranger: 'conflict', holder: 'good' },
  { type: 'WE_RO', registered: 'good', stranger: 'conflict', holder: 'good' },
  { type: 'EA_RO', registered: 'good', stranger: 'conflict', holder: 'good' },
  { type: 'WE_AR', registered: 'good', stranger: 'conflict', holder: 'good' },
  { type: 'EA_AR', registered: 'good', stranger: 'conflict', holder: 'good' },
] as const;
for (const { type, registered, stranger, holder } of COMPATIBLE) {
  test(`RESERVE and RELEASE change nothing beside ${type ?? 'mere registrations'}`, async (t) => {
    const { core, first, second } = setUp();
    const third = core.connect('naa.5000000000000003');
    await sendOut(first, 'register', { actionKey: 1 });
    await sendOut(second, 'register', { actionKey: 2 });
    if (type !== undefined) await sendOut(first, 'reserve', { key: 1, type: TYPES[type] });
    const before = core.disk.reservations.persistent;
    for (const cdb of [CDBS[6].reserve, CDBS[6].release, CDBS[10].reserve, CDBS[10].release]) {
      t.is(await send(first, cdb), holder);
      t.is(await send(second, cdb), registered);
      t.is(await send(third, cdb), stranger);
    }
    t.is(core.disk.reservations.persistent, before);
    t.false(core.disk.reservations.isReserved);
  });
}

test('a unit without emulate_pr knows neither kind of reservation', async (t) => {
  const { initiator } = new Core({ attributes: { emulate_pr: 0 } });
  t.is(await send(initiator, CDBS[6].reserve), '5 2000');
  t.is(outcome(await sendIn(initiator, 0)), '5 2000');
  t.is(outcome(await sendOut(initiator, 'register')), '5 2000');
});
