import test from 'ava';
import { ControlMode } from '../../src/scsi/control-mode.ts';
import { Sense, type SenseCode } from '../../src/scsi/sense-spec.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { UnitAttentionQueue } from '../../src/scsi/unit-attention.ts';
import { Core } from '../support/core.ts';

const POWER_ON = Sense.POWER_ON_OR_RESET_OCCURRED;
const RESET = Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED;
const NEXUS_LOSS = Sense.I_T_NEXUS_LOSS_OCCURRED;
const MODE = Sense.MODE_PARAMETERS_CHANGED;
const CAPACITY = Sense.CAPACITY_DATA_HAS_CHANGED;

/** What arises, in order, and what is then reported, in order. */
const PRECEDENCE: { title: string; arise: SenseCode[]; report: SenseCode[] }[] = [
  { title: 'in order of arrival', arise: [MODE, CAPACITY], report: [MODE, CAPACITY] },
  { title: 'no condition twice', arise: [MODE, CAPACITY, MODE], report: [MODE, CAPACITY] },
  { title: 'resets before all others', arise: [MODE, RESET, CAPACITY], report: [RESET, MODE, CAPACITY] },
  {
    title: 'a stronger reset instead of a weaker one',
    arise: [NEXUS_LOSS, MODE, RESET],
    report: [RESET, MODE],
  },
  { title: 'a weaker reset not at all', arise: [POWER_ON, NEXUS_LOSS, RESET], report: [POWER_ON] },
  {
    title: 'nothing from before power on',
    arise: [MODE, RESET, POWER_ON, CAPACITY],
    report: [POWER_ON, CAPACITY],
  },
];
for (const { title, arise, report } of PRECEDENCE) {
  test(`reports ${title}`, (t) => {
    const queue = new UnitAttentionQueue();
    for (const attention of arise) queue.establish(attention);
    const reported: SenseCode[] = [];
    while (queue.pending) reported.push(queue.report(new ControlMode()));
    t.deepEqual(reported, report);
  });
}

const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };
const REQUEST_SENSE = { cdb: [0x03, 0, 0, 0, 252, 0], dataInLength: 252 };
const INQUIRY = { cdb: [0x12, 0, 0, 0, 36, 0], dataInLength: 36 };
const code = (sense: Uint8Array) => (sense[12] << 8) | sense[13];

test('one condition per command, and each initiator has its own', async (t) => {
  const core = new Core({ powerOn: true });
  const other = core.connect('naa.5000000000000002');
  core.disk.capacityChanged();
  for (const one of [core.initiator, other]) {
    t.is(code((await one.send(TEST_UNIT_READY)).sense), POWER_ON.code);
    t.is(code((await one.send(TEST_UNIT_READY)).sense), CAPACITY.code);
    t.is((await one.send(TEST_UNIT_READY)).status, Status.GOOD);
  }
});

test('INQUIRY neither reports nor clears a condition', async (t) => {
  const { initiator } = new Core({ powerOn: true });
  t.is((await initiator.send(INQUIRY)).status, Status.GOOD);
  t.is(code((await initiator.send(TEST_UNIT_READY)).sense), POWER_ON.code);
});

test('an unknown command reports a condition before its own fault', async (t) => {
  const { initiator } = new Core({ powerOn: true });
  t.is(code((await initiator.send({ cdb: [0xff, 0, 0, 0, 0, 0] })).sense), POWER_ON.code);
  t.is(code((await initiator.send({ cdb: [0xff, 0, 0, 0, 0, 0] })).sense), 0x2000);
});

for (const uaIntlck of [2, 3]) {
  test(`UA_INTLCK_CTRL ${uaIntlck} keeps a condition until REQUEST SENSE`, async (t) => {
    const { initiator, disk } = new Core({ powerOn: true });
    disk.control.uaIntlck = uaIntlck;
    t.is(code((await initiator.send(TEST_UNIT_READY)).sense), POWER_ON.code);
    t.is(code((await initiator.send(TEST_UNIT_READY)).sense), POWER_ON.code);
    t.is(code((await initiator.send(REQUEST_SENSE)).dataIn), POWER_ON.code);
    t.is((await initiator.send(TEST_UNIT_READY)).status, Status.GOOD);
  });
}

const STATUSES = [
  { uaIntlck: 0, status: Status.GOOD },
  { uaIntlck: 2, status: Status.GOOD },
  { uaIntlck: 3, status: Status.CHECK_CONDITION },
];
for (const { uaIntlck, status } of STATUSES) {
  test(`with UA_INTLCK_CTRL ${uaIntlck} the command after TASK SET FULL ends with status ${status}`, async (t) => {
    const { initiator, disk, backstore } = new Core();
    disk.control.uaIntlck = uaIntlck;
    backstore.hold = true;
    initiator.start({ cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 });
    disk.taskSet.limit = 1;
    t.is((await initiator.send(TEST_UNIT_READY)).status, Status.TASK_SET_FULL);
    disk.taskSet.limit = 2;
    const result = await initiator.send(TEST_UNIT_READY);
    t.is(result.status, status);
    if (status !== Status.GOOD) t.is(code(result.sense), Sense.PREVIOUS_TASK_SET_FULL_STATUS.code);
  });
}

test('a reservation conflict comes before all conditions but those of resets', async (t) => {
  const { initiator, disk } = new Core();
  disk.reservations.held = true;
  disk.reservations.allows = () => false;
  const write = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512) };
  const itl = initiator.nexus.unit(0)!;
  itl.establish(MODE);
  t.is((await initiator.send(write)).status, Status.RESERVATION_CONFLICT);
  itl.establish(RESET);
  t.is(code((await initiator.send(write)).sense), RESET.code);
  t.is((await initiator.send(write)).status, Status.RESERVATION_CONFLICT);
  disk.reservations.held = false;
  t.is(code((await initiator.send(write)).sense), MODE.code);
});
