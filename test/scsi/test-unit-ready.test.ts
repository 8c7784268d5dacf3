import test from 'ava';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';
import { TEST_UNIT_READY } from '../support/primary-cdbs.ts';

const START_STOP = 0x1b;
const STOP = [START_STOP, 0, 0, 0, 0, 0];
const EJECT = [START_STOP, 0, 0, 0, 2, 0];
const STANDBY = [START_STOP, 0, 0, 0, 0x30, 0];

const states: [string, (core: Core) => unknown, string][] = [
  ['ready', () => undefined, 'GOOD'],
  ['in standby', ({ initiator }) => initiator.send({ cdb: STANDBY }), 'GOOD'],
  ['stopped', ({ initiator }) => initiator.send({ cdb: STOP }), '2/04/02'],
  ['ejected', ({ initiator }) => initiator.send({ cdb: EJECT }), '2/3a/00'],
  [
    'being formatted',
    ({ disk }) => Object.assign(disk, { notReady: { sense: Sense.FORMAT_IN_PROGRESS, progress: 7 } }),
    '2/04/04#7',
  ],
];

for (const [title, enter, expected] of states) {
  test(`TEST UNIT READY of a disk that is ${title}`, async (t) => {
    const core = new Core({ removable: title === 'ejected' });
    await enter(core);
    t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), expected);
  });
}
