import test from 'ava';
import { putU24, u24 } from '../../src/scsi/bytes.ts';
import { outcome, pattern } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';
import { ask } from '../support/primary-cdbs.ts';

const DATA = 2;
const DESCRIPTOR = 3;
const ECHO = 0x0a;
const ECHO_DESCRIPTOR = 0x0b;

function cdb(opcode: number, mode: number, length: number, offset = 0, id = 0): Uint8Array {
  const bytes = Uint8Array.of(opcode, mode, id, 0, 0, 0, 0, 0, 0, 0);
  putU24(bytes, 3, offset);
  putU24(bytes, 6, length);
  return bytes;
}

const read = (...rest: [number, number, number?, number?]) => cdb(0x3c, ...rest);
const write = (...rest: [number, number, number?, number?]) => cdb(0x3b, ...rest);

test('what is written into the data buffer is read back, from any offset', async (t) => {
  const { initiator } = new Core();
  const data = pattern(1000, 3);
  t.is(outcome(await initiator.send({ cdb: write(DATA, 1000, 24), dataOut: data })), 'GOOD');
  t.deepEqual((await ask(initiator, read(DATA, 1000, 24))).dataIn, data);
  t.deepEqual((await ask(initiator, read(DATA, 10, 124))).dataIn, data.slice(100, 110));
});

test('the descriptors tell the capacities', async (t) => {
  const { initiator } = new Core();
  const { dataIn } = await ask(initiator, read(DESCRIPTOR, 4));
  t.is(dataIn[0], 0);
  t.is(u24(dataIn, 1), 65536);
  t.deepEqual([...(await ask(initiator, read(DESCRIPTOR, 4, 0, 1))).dataIn], [0, 0, 0, 0]);
  t.deepEqual([...(await ask(initiator, read(ECHO_DESCRIPTOR, 4))).dataIn], [1, 0, 0x10, 0]);
});

test('each initiator has an echo buffer of its own', async (t) => {
  const core = new Core();
  const other = core.connect('naa.5000000000000002');
  await core.initiator.send({ cdb: write(ECHO, 4), dataOut: Uint8Array.of(1, 2, 3, 4) });
  t.is(outcome(await ask(other, read(ECHO, 4))), '5/2c/00');
  await other.send({ cdb: write(ECHO, 2), dataOut: Uint8Array.of(9, 9) });
  t.deepEqual([...(await ask(core.initiator, read(ECHO, 4096))).dataIn], [1, 2, 3, 4]);
});

const refusals: [string, Uint8Array, number, string][] = [
  ['a mode that there is not', read(0x1c, 4), 0, '5/24/00@1.4'],
  ['microcode', write(0x05, 4), 4, '5/24/00@1.4'],
  ['another data buffer', read(DATA, 4, 0, 1), 0, '5/24/00@2'],
  ['writing another data buffer', write(DATA, 4, 0, 1), 4, '5/24/00@2'],
  ['an offset past the end', read(DATA, 4, 65537), 0, '5/24/00@3'],
  ['writing past the end', write(DATA, 2, 65535), 2, '5/24/00@6'],
  ['an echo that is too long', write(ECHO, 4097), 4097, '5/24/00@6'],
  ['fewer bytes than announced', write(ECHO, 8), 4, '5/1a/00'],
];

for (const [title, command, sent, expected] of refusals) {
  test(`${title} is refused`, async (t) => {
    const { initiator } = new Core();
    const result = await initiator.send({
      cdb: command,
      dataOut: sent > 0 ? new Uint8Array(sent) : undefined,
      dataInLength: sent > 0 ? 0 : 16,
    });
    t.is(outcome(result), expected);
  });
}
