import test from 'ava';
import { putU32, u16 } from '../../src/scsi/bytes.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core, TestStore } from '../support/core.ts';
import { ask, TEST_UNIT_READY } from '../support/primary-cdbs.ts';

const PERIPHERAL = 0;
const TEXT = 2;
const SUPPORTED = 0x7f;

function cdb(opcode: number, serviceAction: number, type: number, length: number): Uint8Array {
  const bytes = new Uint8Array(12);
  bytes[0] = opcode;
  bytes[1] = serviceAction;
  putU32(bytes, 6, length);
  bytes[10] = type << 1;
  return bytes;
}

const report = (type: number) => cdb(0xa3, 0x05, type, 1024);
const set = (type: number, length: number) => cdb(0xa4, 0x06, type, length);

test('information is kept by type, across a restart, and the others are told', async (t) => {
  const store = new TestStore();
  const core = new Core({ store });
  const other = core.connect('naa.5000000000000002');
  const text = new TextEncoder().encode('rack 7\0');
  t.is(outcome(await core.initiator.send({ cdb: set(TEXT, 7), dataOut: text })), 'GOOD');
  t.is(outcome(await other.send({ cdb: TEST_UNIT_READY })), '6/3f/05');
  const restarted = new Core({ store });
  const { dataIn } = await ask(restarted.initiator, report(TEXT));
  t.is(u16(dataIn, 2), 7);
  t.deepEqual(dataIn.slice(4), text);
  t.deepEqual([...(await ask(restarted.initiator, report(PERIPHERAL))).dataIn], [0, 0, 0, 0]);
  await restarted.initiator.send({ cdb: set(TEXT, 0) });
  t.deepEqual([...(await ask(restarted.initiator, report(TEXT))).dataIn], [0, 0, 0, 0]);
});

test('the types and their lengths are told', async (t) => {
  const { initiator } = new Core({ store: new TestStore() });
  const { dataIn } = await ask(initiator, report(SUPPORTED));
  t.deepEqual([...dataIn], [0, 0, 0, 8, 0, 0, 2, 0, 4, 0, 1, 0]);
});

const refusals: [string, Uint8Array, number, string][] = [
  ['an unknown type', set(5, 4), 4, '5/24/00@10.7'],
  ['more than fits', set(TEXT, 257), 257, '5/24/00@6'],
  ['a text without its end', set(TEXT, 4), 4, '5/26/00#3'],
  ['fewer bytes than announced', set(PERIPHERAL, 8), 4, '5/1a/00'],
];

for (const [title, command, sent, expected] of refusals) {
  test(`SET IDENTIFYING INFORMATION refuses ${title}`, async (t) => {
    const { initiator } = new Core({ store: new TestStore() });
    const dataOut = new Uint8Array(sent).fill(0x41);
    t.is(outcome(await initiator.send({ cdb: command, dataOut })), expected);
  });
}

test('without a store the commands are not there', async (t) => {
  const { initiator } = new Core();
  t.is(outcome(await ask(initiator, report(TEXT))), '5/24/00@1.4');
});

test('a save that fails keeps what was there', async (t) => {
  const store = new TestStore();
  const { initiator } = new Core({ store });
  store.save = () => Promise.reject(new Error('disk full'));
  t.is(outcome(await initiator.send({ cdb: set(PERIPHERAL, 1), dataOut: Uint8Array.of(1) })), '4/44/00');
  t.deepEqual([...(await ask(initiator, report(PERIPHERAL))).dataIn], [0, 0, 0, 0]);
});
