import test from 'ava';
import { u16 } from '../../src/scsi/bytes.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';
import { ask, inquiry } from '../support/primary-cdbs.ts';

const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

test('standard data names the disk and the standards that it follows', async (t) => {
  const { initiator } = new Core();
  const { dataIn } = await ask(initiator, inquiry());
  t.is(dataIn.length, 96);
  t.is(dataIn[0], 0x00);
  t.is(dataIn[1], 0x00);
  t.is(dataIn[2], 0x06, 'SPC-4');
  t.is(dataIn[3] & 0x0f, 2);
  t.is(dataIn[4], 91);
  t.is(dataIn[7], 0x02, 'CMDQUE');
  t.is(text(dataIn.subarray(8, 16)), 'LUNPORT ');
  t.is(text(dataIn.subarray(16, 32)), 'TEST DISK       ');
  t.is(text(dataIn.subarray(32, 36)), '0001');
  t.deepEqual(
    [58, 60, 62, 64].map((at) => u16(dataIn, at)),
    [0x00a0, 0x0460, 0x04c0, 0],
  );
});

const bits: [string, CoreOptions, number, number, number][] = [
  ['RMB of a removable disk', { removable: true }, 1, 0x80, 0x80],
  ['PROTECT with a place for protection information', { protection: true }, 5, 0x01, 0x01],
  ['no PROTECT without', {}, 5, 0x01, 0x00],
];

for (const [title, options, byte, mask, expected] of bits) {
  test(`standard data: ${title}`, async (t) => {
    const { initiator } = new Core(options);
    const { dataIn } = await ask(initiator, inquiry());
    t.is(dataIn[byte] & mask, expected);
  });
}

test('a text longer than its field is cut, and what is not ASCII becomes a question mark', async (t) => {
  const core = new Core();
  Object.assign(core.disk, {
    identity: { ...core.disk.identity, vendor: 'ÄCMEVENDOR', product: 'x'.repeat(30) },
  });
  const { dataIn } = await ask(core.initiator, inquiry());
  t.is(text(dataIn.subarray(8, 16)), '?CMEVEND');
  t.is(text(dataIn.subarray(16, 36)), `${'x'.repeat(16)}0001`);
});

test('the answer is cut to every allocation length, without a residual overflow', async (t) => {
  const { initiator } = new Core();
  const whole = (await ask(initiator, inquiry(undefined, 512))).dataIn;
  for (const length of [0, 1, 4, 5, 36, 95, 96, 97, 255, 256, 0xffff]) {
    const result = await initiator.send({ cdb: inquiry(undefined, length), dataInLength: length });
    t.is(result.status, Status.GOOD);
    t.deepEqual(result.dataIn, whole.subarray(0, length));
    t.is(result.residual, Math.max(0, length - whole.length));
  }
});

const refusals: [string, number[], string][] = [
  ['a page code without EVPD', [0x12, 0, 0x80, 0, 255, 0], '5/24/00@2'],
  ['an unknown VPD page', [0x12, 1, 0x81, 0, 255, 0], '5/24/00@2'],
  ['CMDDT, which is obsolete', [0x12, 2, 0, 0, 255, 0], '5/24/00@1.1'],
];

for (const [title, cdb, expected] of refusals) {
  test(`INQUIRY refuses ${title}`, async (t) => {
    const { initiator } = new Core();
    t.is(outcome(await ask(initiator, cdb)), expected);
  });
}

test('INQUIRY leaves a pending unit attention alone', async (t) => {
  const { initiator } = new Core({ powerOn: true });
  t.is(outcome(await ask(initiator, inquiry())), 'GOOD');
  t.is(outcome(await initiator.send({ cdb: [0, 0, 0, 0, 0, 0] })), '6/29/00');
});

test('TPGS and 3PC are claimed exactly when the command table has the commands', async (t) => {
  const core = new Core();
  const { commands } = core.disk;
  const { dataIn } = await ask(core.initiator, inquiry());
  t.is((dataIn[5] & 0x10) !== 0, commands.supports(core.disk, 0xa3, 0x0a));
  t.is((dataIn[5] & 0x20) !== 0, commands.supports(core.disk, 0xa4, 0x0a));
  t.is((dataIn[5] & 0x08) !== 0, commands.supports(core.disk, 0x83));
});
