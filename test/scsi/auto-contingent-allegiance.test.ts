import test from 'ava';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { ServiceResponse, Status, TaskAttribute } from '../../src/scsi/status-spec.ts';
import { manage, TaskManagementFunction } from '../../src/scsi/task-management.ts';
import { Core } from '../support/core.ts';

const NACA = 0x04;
/** Fails: the LBA is out of range. */
const faulty = (control: number) => ({
  cdb: [0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, control],
  dataInLength: 512,
});
const read = (control = 0) => ({ cdb: [0x28, 0, 0, 0, 0, 1, 0, 0, 1, control], dataInLength: 512 });
const testUnitReady = (attribute: TaskAttribute = TaskAttribute.SIMPLE, control = 0) => ({
  cdb: [0, 0, 0, 0, 0, control],
  attribute,
});
const ACA = TaskAttribute.ACA;

function setUp(tst = 0) {
  const core = new Core();
  core.disk.control.tst = tst;
  const { disk, backstore, initiator } = core;
  return { disk, backstore, initiator, other: core.connect('naa.5000000000000002') };
}

function clearAca(initiator: Initiator): ServiceResponse[] {
  const responses: ServiceResponse[] = [];
  manage(
    { function: TaskManagementFunction.CLEAR_ACA, nexus: initiator.nexus, lun: 0, tagHigh: 0, tagLow: 0 },
    (response) => responses.push(response),
  );
  return responses;
}

test('without NACA a CHECK CONDITION keeps nobody from anything', async (t) => {
  const { initiator, other } = setUp();
  await initiator.send(faulty(0));
  t.is((await initiator.send(testUnitReady())).status, Status.GOOD);
  t.is((await other.send(testUnitReady())).status, Status.GOOD);
});

/** SAM-5 5.9.3: what an arriving command is answered while the first initiator has an ACA condition. */
const ARRIVING = [
  { who: 'faulted', attribute: TaskAttribute.SIMPLE, control: 0, tst: 0, status: Status.ACA_ACTIVE },
  {
    who: 'faulted',
    attribute: TaskAttribute.HEAD_OF_QUEUE,
    control: NACA,
    tst: 0,
    status: Status.ACA_ACTIVE,
  },
  { who: 'faulted', attribute: ACA, control: 0, tst: 0, status: Status.GOOD },
  { who: 'faulted', attribute: ACA, control: NACA, tst: 1, status: Status.GOOD },
  { who: 'other', attribute: TaskAttribute.SIMPLE, control: 0, tst: 0, status: Status.BUSY },
  { who: 'other', attribute: TaskAttribute.SIMPLE, control: NACA, tst: 0, status: Status.ACA_ACTIVE },
  { who: 'other', attribute: TaskAttribute.SIMPLE, control: 0, tst: 1, status: Status.GOOD },
] as const;
for (const { who, attribute, control, tst, status } of ARRIVING) {
  test(`with TST ${tst}, attribute ${attribute} and control ${control} from the ${who} nexus`, async (t) => {
    const { initiator, other } = setUp(tst);
    await initiator.send(faulty(NACA));
    const result = await (who === 'faulted' ? initiator : other).send(testUnitReady(attribute, control));
    t.is(result.status, status);
  });
}

test('PREEMPT AND ABORT of another nexus is let through', async (t) => {
  const { initiator, other } = setUp();
  await initiator.send(faulty(NACA));
  const { status } = await other.send({
    cdb: [0x5f, 0x05, 0, 0, 0, 0, 0, 0, 24, 0],
    dataOut: new Uint8Array(24),
  });
  t.not(status, Status.BUSY);
});

test('CLEAR ACA ends the condition of its own nexus only', async (t) => {
  const { initiator, other } = setUp();
  await initiator.send(faulty(NACA));
  t.deepEqual(clearAca(other), [ServiceResponse.FUNCTION_COMPLETE]);
  t.is((await other.send(testUnitReady())).status, Status.BUSY);
  t.deepEqual(clearAca(initiator), [ServiceResponse.FUNCTION_COMPLETE]);
  t.is((await other.send(testUnitReady())).status, Status.GOOD);
  t.is((await initiator.send(testUnitReady())).status, Status.GOOD);
});

test('running and dormant tasks stand still until the condition is cleared', async (t) => {
  const { initiator, other, backstore, disk } = setUp();
  backstore.hold = true;
  const running = [initiator.start(read()), other.start(read())];
  const dormant = initiator.start({ ...read(), attribute: TaskAttribute.ORDERED });
  await initiator.send({ ...faulty(NACA), attribute: TaskAttribute.HEAD_OF_QUEUE });
  backstore.releaseHeld();
  t.deepEqual(
    running.map(({ task }) => task.held),
    [true, true],
  );
  t.false(dormant.task.started);
  clearAca(initiator);
  for (const { result } of running) t.is((await result).status, Status.GOOD);
  t.true(dormant.task.started);
  backstore.releaseHeld();
  t.is((await dormant.result).status, Status.GOOD);
  t.is(disk.taskSet.count, 0);
});

test('a task that failed while it stood still establishes the next condition when its turn comes', async (t) => {
  const { initiator, other, backstore } = setUp();
  backstore.hold = true;
  const failing = initiator.start(read(NACA));
  const behind = other.start(read());
  await initiator.send(faulty(NACA));
  backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR };
  backstore.releaseHeld(1);
  backstore.fault = undefined;
  backstore.releaseHeld();
  clearAca(initiator);
  t.is((await failing.result).status, Status.CHECK_CONDITION);
  t.true(behind.task.held);
  clearAca(initiator);
  t.is((await behind.result).status, Status.GOOD);
});

test('a task that stands still can be aborted', async (t) => {
  const { initiator, other, backstore } = setUp();
  backstore.hold = true;
  const blocked = other.start({ ...read(), tag: 9 });
  await initiator.send(faulty(NACA));
  backstore.releaseHeld();
  t.true(blocked.task.held);
  manage(
    { function: TaskManagementFunction.ABORT_TASK, nexus: other.nexus, lun: 0, tagHigh: 0, tagLow: 9 },
    () => {},
  );
  t.true((await blocked.result).aborted);
});

test('only one ACA task runs at a time, and CLEAR ACA aborts it', async (t) => {
  const { initiator, backstore } = setUp();
  await initiator.send(faulty(NACA));
  backstore.hold = true;
  const first = initiator.start({ ...read(), attribute: ACA });
  t.true(first.task.started);
  t.is((await initiator.send(testUnitReady(ACA))).status, Status.ACA_ACTIVE);
  clearAca(initiator);
  t.true((await first.result).aborted);
  t.is((await initiator.send(testUnitReady())).status, Status.GOOD);
});

test('an ACA task that fails ends the condition, or renews it when it has NACA', async (t) => {
  const { initiator } = setUp();
  await initiator.send(faulty(NACA));
  await initiator.send({ ...faulty(NACA), attribute: ACA });
  t.is((await initiator.send(testUnitReady())).status, Status.ACA_ACTIVE);
  await initiator.send({ ...faulty(0), attribute: ACA });
  t.is((await initiator.send(testUnitReady())).status, Status.GOOD);
});

test('an ACA task without a condition is an invalid message', async (t) => {
  const { initiator, disk } = setUp();
  const { sense } = await initiator.send(testUnitReady(ACA));
  t.deepEqual([sense[2], sense[12], sense[13]], [0x05, 0x49, 0x00]);
  t.is(disk.taskSet.count, 0);
});

for (const func of [TaskManagementFunction.LOGICAL_UNIT_RESET, TaskManagementFunction.I_T_NEXUS_RESET]) {
  test(`a reset (function ${func}) ends the condition`, async (t) => {
    const { initiator, other } = setUp();
    await initiator.send(faulty(NACA));
    manage({ function: func, nexus: initiator.nexus, lun: 0, tagHigh: 0, tagLow: 0 }, () => {});
    for (const one of [initiator, other]) one.nexus.unit(0)!.unitAttentions.clearAll();
    t.is((await initiator.send(testUnitReady())).status, Status.GOOD);
    t.is((await other.send(testUnitReady())).status, Status.GOOD);
  });
}

test('the condition of a nexus that goes away goes with it', async (t) => {
  const { initiator, other } = setUp();
  await initiator.send(faulty(NACA));
  initiator.nexus.close();
  t.is((await other.send(testUnitReady())).status, Status.GOOD);
});
