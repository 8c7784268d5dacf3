import test from 'ava';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { Core } from '../support/core.ts';
import { ask, REQUEST_SENSE } from '../support/primary-cdbs.ts';

test('a unit attention is returned once, as data with GOOD', async (t) => {
  const { initiator } = new Core({ powerOn: true });
  const first = await ask(initiator, REQUEST_SENSE);
  t.is(first.status, 0);
  t.deepEqual([first.dataIn[0], first.dataIn[2], first.dataIn[12], first.dataIn[13]], [0x70, 6, 0x29, 0]);
  const second = await ask(initiator, REQUEST_SENSE);
  t.deepEqual([second.dataIn[2], second.dataIn[12], second.dataIn[13]], [0, 0, 0]);
});

test('DESC chooses descriptor format, whatever D_SENSE says', async (t) => {
  const { initiator, disk } = new Core({ powerOn: true });
  const descriptor = await ask(initiator, [0x03, 1, 0, 0, 252, 0]);
  t.deepEqual([...descriptor.dataIn], [0x72, 6, 0x29, 0, 0, 0, 0, 0]);
  disk.control.dSense = true;
  t.is((await ask(initiator, REQUEST_SENSE)).dataIn[0], 0x70);
});

test('a unit that is not ready says why and how far it has come', async (t) => {
  const { initiator, disk } = new Core();
  disk.notReady = { sense: Sense.FORMAT_IN_PROGRESS, progress: 0x4000 };
  const { dataIn } = await ask(initiator, REQUEST_SENSE);
  t.deepEqual([dataIn[2], dataIn[12], dataIn[13]], [2, 4, 4]);
  t.deepEqual([...dataIn.subarray(15, 18)], [0x80, 0x40, 0]);
});

test('the answer is cut to the allocation length', async (t) => {
  const { initiator } = new Core();
  t.is((await ask(initiator, [0x03, 0, 0, 0, 4, 0])).transferred, 4);
  t.is((await ask(initiator, [0x03, 0, 0, 0, 0, 0])).transferred, 0);
});
