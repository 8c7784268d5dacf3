import test from 'ava';
import { putU48, u16, u48 } from '../../src/scsi/bytes.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';
import { ask, TEST_UNIT_READY } from '../support/primary-cdbs.ts';

const REPORT = [0xa3, 0x0f, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0];
const set = (length: number) => [0xa4, 0x0f, 0, 0, 0, 0, 0, 0, 0, length, 0, 0];

async function timestamp(core: Core): Promise<[origin: number, time: number]> {
  const { dataIn } = await ask(core.initiator, REPORT);
  return [dataIn[2], u48(dataIn, 4)];
}

test('the timestamp is our clock until an initiator sets it, and runs on from there', async (t) => {
  const core = new Core();
  const other = core.connect('naa.5000000000000002');
  t.deepEqual(await timestamp(core), [3, core.environment.now()]);
  const list = new Uint8Array(12);
  putU48(list, 4, 1_000_000);
  t.is(outcome(await core.initiator.send({ cdb: set(12), dataOut: list })), 'GOOD');
  core.environment.advance(500);
  t.deepEqual(await timestamp(core), [2, 1_000_500]);
  t.is(outcome(await other.send({ cdb: TEST_UNIT_READY })), '6/2a/10');
  core.disk.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, undefined);
  await core.initiator.send({ cdb: TEST_UNIT_READY });
  t.deepEqual(await timestamp(core), [3, core.environment.now()]);
});

test('the answer says its length', async (t) => {
  const { dataIn } = await ask(new Core().initiator, REPORT);
  t.is(dataIn.length, 12);
  t.is(u16(dataIn, 0), 10);
});

test('a list too short is a length error, none at all is not', async (t) => {
  const { initiator } = new Core();
  t.is(outcome(await initiator.send({ cdb: set(8), dataOut: new Uint8Array(8) })), '5/1a/00');
  t.is(outcome(await initiator.send({ cdb: set(0) })), 'GOOD');
});
