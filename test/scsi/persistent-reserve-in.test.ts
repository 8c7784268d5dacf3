import test from 'ava';
import { u16, u32 } from '../../src/scsi/bytes.ts';
import { Core, TestStore } from '../support/core.ts';
import {
  outcome,
  readFullStatus,
  sendIn,
  sendOut,
  TYPES,
  unitAttentions,
} from '../support/persistent-reservations.ts';

const TYPE_BITS = { WE_AR: 0x80, EA_RO: 0x40, WE_RO: 0x20, EA: 0x08, WE: 0x02 } as const;

test('READ KEYS lists the key of every registered I_T nexus, equal ones too', async (t) => {
  const core = new Core();
  const { initiator } = core;
  t.deepEqual([...(await sendIn(initiator, 0)).dataIn], [0, 0, 0, 0, 0, 0, 0, 0]);
  await sendOut(initiator, 'register', { actionKey: 0xdeadbeef });
  await sendOut(core.connect('naa.5000000000000002'), 'register', { actionKey: 0xdeadbeef });
  const { dataIn } = await sendIn(initiator, 0);
  t.deepEqual(
    [...dataIn],
    [0, 0, 0, 2, 0, 0, 0, 16, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef],
  );
});

test('all 64 bits of a key are kept', async (t) => {
  const { initiator } = new Core();
  const list = new Uint8Array(24);
  const key = [0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88];
  list.set(key, 8);
  await initiator.send({ cdb: [0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  t.deepEqual([...(await sendIn(initiator, 0)).dataIn.subarray(8)], key);
});

test('READ RESERVATION tells key, scope and type of what is reserved', async (t) => {
  const { initiator } = new Core();
  await sendOut(initiator, 'register', { actionKey: 7 });
  t.deepEqual([...(await sendIn(initiator, 1)).dataIn], [0, 0, 0, 1, 0, 0, 0, 0]);
  await sendOut(initiator, 'reserve', { key: 7, type: TYPES.EA_RO });
  const { dataIn } = await sendIn(initiator, 1);
  t.deepEqual([...dataIn], [0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0x06, 0, 0]);
});

test('REPORT CAPABILITIES promises what works: APTPL with a store only', async (t) => {
  const { dataIn } = await sendIn(new Core().initiator, 2);
  t.deepEqual([...dataIn], [0, 8, 0x9c, 0xc0, 0xea, 0x01, 0, 0]);
  const { initiator } = new Core({ store: new TestStore() });
  t.deepEqual([...(await sendIn(initiator, 2)).dataIn], [0, 8, 0x9d, 0xc0, 0xea, 0x01, 0, 0]);
  await sendOut(initiator, 'register', { actionKey: 1, aptpl: true });
  t.is((await sendIn(initiator, 2)).dataIn[3], 0xc1, 'PTPL_A');
  await sendOut(initiator, 'register', { key: 1, actionKey: 1 });
  t.is((await sendIn(initiator, 2)).dataIn[3], 0xc0);
  const bits = (await sendIn(initiator, 2)).dataIn;
  for (const [name, bit] of Object.entries(TYPE_BITS)) t.true((bits[4] & bit) !== 0, name);
});

test('READ FULL STATUS names every registered I_T nexus and its holders', async (t) => {
  const core = new Core();
  const second = core.connect('naa.5000000000000002', 2);
  await sendOut(core.initiator, 'register', { actionKey: 1 });
  await sendOut(second, 'register', { actionKey: 2 });
  await sendOut(second, 'reserve', { key: 2, type: TYPES.WE_RO });
  const ids = [core.initiator, second].map(({ nexus }) => nexus.initiatorPort.transportId);
  t.deepEqual(await readFullStatus(second), [
    { key: 1, holder: false, scopeAndType: 0, port: 1, transportId: ids[0] },
    { key: 2, holder: true, scopeAndType: 0x05, port: 2, transportId: ids[1] },
  ]);
  await sendOut(second, 'release', { key: 2, type: TYPES.WE_RO });
  await unitAttentions(core.initiator);
  await sendOut(second, 'reserve', { key: 2, type: TYPES.EA_AR });
  t.deepEqual(
    (await readFullStatus(second)).map(({ holder, scopeAndType }) => [holder, scopeAndType]),
    [
      [true, 0x08],
      [true, 0x08],
    ],
  );
});

for (const action of [0, 1, 2, 3]) {
  test(`service action ${action} is cut to every allocation length, its length fields are not`, async (t) => {
    const core = new Core();
    await sendOut(core.initiator, 'register', { actionKey: 1 });
    await sendOut(core.initiator, 'reserve', { key: 1, type: TYPES.WE });
    const { dataIn: whole } = await sendIn(core.initiator, action);
    t.is(action === 2 ? u16(whole, 0) : u32(whole, 4) + 8, whole.length);
    for (let length = 0; length < whole.length; length++) {
      const result = await sendIn(core.initiator, action, length);
      t.is(outcome(result), 'good');
      t.deepEqual(result.dataIn, whole.subarray(0, length));
    }
  });
}

test('every other service action is an invalid field', async (t) => {
  const { initiator } = new Core();
  for (let action = 4; action < 0x20; action++) {
    const result = await sendIn(initiator, action);
    t.is(outcome(result), '5 2400', String(action));
    t.deepEqual([...result.sense.subarray(15, 18)], [0xcc, 0, 1]);
  }
});
