import test from 'ava';
import type { RunningCommand } from '../../src/fabrics/loopback/initiator.ts';
import type { Nexus } from '../../src/scsi/nexus.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { ServiceResponse, Status, TaskAttribute } from '../../src/scsi/status-spec.ts';
import { AbortedBy } from '../../src/scsi/task.ts';
import { abortNexus, manage, resetTarget, TaskManagementFunction } from '../../src/scsi/task-management.ts';
import { Core } from '../support/core.ts';

const { FUNCTION_COMPLETE, FUNCTION_SUCCEEDED, FUNCTION_REJECTED, INCORRECT_LOGICAL_UNIT_NUMBER } =
  ServiceResponse;
const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };

/** Two initiators on a disk whose backstore holds every operation. */
function setUp(tas = true) {
  const core = new Core();
  core.backstore.hold = true;
  core.disk.control.tas = tas;
  const { disk, backstore, initiator } = core;
  return { disk, backstore, initiator, core, other: core.connect('naa.5000000000000002') };
}

/** Performs a function; `log` gets its response, so that its place among ended commands can be seen. */
function perform(
  nexus: Nexus,
  func: TaskManagementFunction,
  tagLow = 0,
  lun = 0,
): { responses: ServiceResponse[]; additional: number[] } {
  const answer = { responses: [] as ServiceResponse[], additional: [] as number[] };
  manage({ function: func, nexus, lun, tagHigh: 0, tagLow }, (response, additional) => {
    answer.responses.push(response);
    answer.additional.push(additional);
  });
  return answer;
}

const senseCode = (sense: Uint8Array) => (sense[12] << 8) | sense[13];
const ended = (...commands: RunningCommand[]) => Promise.all(commands.map((command) => command.result));

test('ABORT TASK ends the named task only, and says so', async (t) => {
  const { initiator, disk, backstore } = setUp();
  const first = initiator.start({ ...READ, tag: 1 });
  const second = initiator.start({ ...READ, tag: 2 });
  t.deepEqual(perform(initiator.nexus, TaskManagementFunction.ABORT_TASK, 1).responses, [FUNCTION_COMPLETE]);
  const result = await first.result;
  t.true(result.aborted);
  t.is(first.task.abortedBy, AbortedBy.OWN_NEXUS);
  t.false(first.task.statusDue);
  t.is(disk.taskSet.count, 1);
  backstore.releaseHeld();
  t.is((await second.result).status, Status.GOOD);
});

test('ABORT TASK compares all 64 bits of a tag', (t) => {
  const { initiator, backstore } = setUp();
  const { task } = initiator.start({ ...READ, tag: 1 });
  task.tagHigh = 7;
  perform(initiator.nexus, TaskManagementFunction.ABORT_TASK, 1);
  t.false(task.aborted);
  backstore.releaseHeld();
});

test("ABORT TASK does not reach another initiator's task of the same tag", (t) => {
  const { initiator, other, backstore } = setUp();
  const { task } = other.start({ ...READ, tag: 1 });
  t.deepEqual(perform(initiator.nexus, TaskManagementFunction.ABORT_TASK, 1).responses, [FUNCTION_COMPLETE]);
  t.false(task.aborted);
  backstore.releaseHeld();
});

test('the response waits for an operation that cannot be cancelled', async (t) => {
  const { initiator, backstore } = setUp();
  backstore.cancel = () => {};
  const command = initiator.start({ ...READ, tag: 1 });
  const { responses } = perform(initiator.nexus, TaskManagementFunction.ABORT_TASK, 1);
  const again = perform(initiator.nexus, TaskManagementFunction.LOGICAL_UNIT_RESET);
  t.deepEqual(responses, []);
  t.true(command.task.active);
  backstore.releaseHeld();
  t.deepEqual(responses, [FUNCTION_COMPLETE]);
  t.deepEqual(again.responses, [FUNCTION_COMPLETE]);
  t.true((await command.result).aborted);
});

test('a dormant task is aborted at once, and never runs', async (t) => {
  const { initiator, backstore } = setUp();
  const running = initiator.start(READ);
  const dormant = initiator.start({ ...READ, attribute: TaskAttribute.ORDERED, tag: 77 });
  t.false(dormant.task.started);
  t.deepEqual(perform(initiator.nexus, TaskManagementFunction.ABORT_TASK, 77).responses, [FUNCTION_COMPLETE]);
  t.true((await dormant.result).aborted);
  backstore.releaseHeld();
  await running.result;
  t.is(backstore.log.length, 1);
});

test('ABORT TASK SET ends the tasks of its own nexus', async (t) => {
  const { initiator, other, disk, backstore } = setUp();
  const mine = [initiator.start(READ), initiator.start(READ)];
  const theirs = other.start(READ);
  t.deepEqual(perform(initiator.nexus, TaskManagementFunction.ABORT_TASK_SET).responses, [FUNCTION_COMPLETE]);
  for (const result of await ended(...mine)) t.true(result.aborted);
  t.is(disk.taskSet.count, 1);
  backstore.releaseHeld();
  t.is((await theirs.result).status, Status.GOOD);
});

test('CLEAR TASK SET with TAS 1 gives TASK ABORTED to others and no unit attention', async (t) => {
  const { initiator, other } = setUp(true);
  const theirs = other.start(READ);
  perform(initiator.nexus, TaskManagementFunction.CLEAR_TASK_SET);
  t.is((await theirs.result).status, Status.TASK_ABORTED);
  t.true(theirs.task.statusDue);
  t.is((await other.send(TEST_UNIT_READY)).status, Status.GOOD);
});

test('CLEAR TASK SET with TAS 0 leaves a unit attention for those who lost tasks', async (t) => {
  const { initiator, other, core } = setUp(false);
  const idle = core.connect('naa.5000000000000003');
  const theirs = other.start(READ);
  const mine = initiator.start(READ);
  perform(initiator.nexus, TaskManagementFunction.CLEAR_TASK_SET);
  await ended(theirs, mine);
  t.false(theirs.task.statusDue);
  t.is(
    senseCode((await other.send(TEST_UNIT_READY)).sense),
    Sense.COMMANDS_CLEARED_BY_ANOTHER_INITIATOR.code,
  );
  t.is((await idle.send(TEST_UNIT_READY)).status, Status.GOOD);
  t.is((await initiator.send(TEST_UNIT_READY)).status, Status.GOOD);
});

test('CLEAR TASK SET leaves others alone when every nexus has a task set of its own', async (t) => {
  const { initiator, other, disk, backstore } = setUp();
  disk.control.tst = 1;
  const theirs = other.start(READ);
  const mine = initiator.start(READ);
  perform(initiator.nexus, TaskManagementFunction.CLEAR_TASK_SET);
  t.true((await mine.result).aborted);
  backstore.releaseHeld();
  t.is((await theirs.result).status, Status.GOOD);
});

test('LOGICAL UNIT RESET ends all tasks and tells every initiator', async (t) => {
  const { initiator, other } = setUp();
  const commands = [initiator.start(READ), other.start(READ)];
  t.deepEqual(perform(initiator.nexus, TaskManagementFunction.LOGICAL_UNIT_RESET).responses, [
    FUNCTION_COMPLETE,
  ]);
  await ended(...commands);
  t.is(commands[0].task.abortedBy, AbortedBy.OWN_NEXUS);
  t.is(commands[1].task.abortedBy, AbortedBy.OTHER_NEXUS);
  for (const one of [initiator, other]) {
    t.is(senseCode((await one.send(TEST_UNIT_READY)).sense), Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED.code);
    t.is((await one.send(TEST_UNIT_READY)).status, Status.GOOD);
  }
});

test('I_T NEXUS RESET ends the tasks of the nexus and tells it alone', async (t) => {
  const { initiator, other, backstore } = setUp();
  const mine = initiator.start(READ);
  const theirs = other.start(READ);
  t.deepEqual(perform(initiator.nexus, TaskManagementFunction.I_T_NEXUS_RESET, 0, 5).responses, [
    FUNCTION_COMPLETE,
  ]);
  t.true((await mine.result).aborted);
  t.is(senseCode((await initiator.send(TEST_UNIT_READY)).sense), Sense.I_T_NEXUS_LOSS_OCCURRED.code);
  backstore.releaseHeld();
  t.is((await theirs.result).status, Status.GOOD);
  t.is((await other.send(TEST_UNIT_READY)).status, Status.GOOD);
});

test('QUERY TASK and QUERY TASK SET succeed while the task exists', (t) => {
  const { initiator, other, backstore } = setUp();
  const query = (nexus: Nexus) => [
    ...perform(nexus, TaskManagementFunction.QUERY_TASK, 1).responses,
    ...perform(nexus, TaskManagementFunction.QUERY_TASK_SET).responses,
  ];
  t.deepEqual(query(initiator.nexus), [FUNCTION_COMPLETE, FUNCTION_COMPLETE]);
  void initiator.start({ ...READ, tag: 1 });
  t.deepEqual(query(initiator.nexus), [FUNCTION_SUCCEEDED, FUNCTION_SUCCEEDED]);
  t.deepEqual(query(other.nexus), [FUNCTION_COMPLETE, FUNCTION_COMPLETE]);
  backstore.releaseHeld();
  t.deepEqual(query(initiator.nexus), [FUNCTION_COMPLETE, FUNCTION_COMPLETE]);
});

test('QUERY ASYNCHRONOUS EVENT tells what is pending without clearing it', (t) => {
  const { initiator } = setUp();
  const query = () => perform(initiator.nexus, TaskManagementFunction.QUERY_ASYNCHRONOUS_EVENT);
  t.deepEqual(query().responses, [FUNCTION_COMPLETE]);
  const itl = initiator.nexus.unit(0)!;
  itl.establish(Sense.CAPACITY_DATA_HAS_CHANGED);
  t.deepEqual(query(), { responses: [FUNCTION_SUCCEEDED], additional: [0x162a09] });
  itl.establish(Sense.MODE_PARAMETERS_CHANGED);
  t.deepEqual(query(), { responses: [FUNCTION_SUCCEEDED], additional: [0x262a09] });
});

test('a LUN without a logical unit is named as the fault', (t) => {
  const { initiator } = setUp();
  for (const func of Object.values(TaskManagementFunction)) {
    if (func === TaskManagementFunction.I_T_NEXUS_RESET) continue;
    t.deepEqual(perform(initiator.nexus, func, 0, 9).responses, [INCORRECT_LOGICAL_UNIT_NUMBER]);
  }
});

test('an unknown function is rejected', (t) => {
  const { initiator } = setUp();
  t.deepEqual(perform(initiator.nexus, 99 as TaskManagementFunction).responses, [FUNCTION_REJECTED]);
});

test('a target reset resets every logical unit of the nexus', async (t) => {
  const { initiator } = setUp();
  const command = initiator.start(READ);
  let done = 0;
  resetTarget(initiator.nexus, () => done++);
  t.is(done, 1);
  t.true((await command.result).aborted);
  t.is(
    senseCode((await initiator.send(TEST_UNIT_READY)).sense),
    Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED.code,
  );
});

test('abortNexus waits for tasks of a unit that was unmapped under them', async (t) => {
  const { initiator, core, backstore } = setUp();
  backstore.cancel = () => {};
  const command = initiator.start(READ);
  core.lunMap.remove(0);
  let done = 0;
  abortNexus(initiator.nexus, () => done++);
  t.is(done, 0);
  backstore.releaseHeld();
  t.is(done, 1);
  t.true((await command.result).aborted);
});

test('a nexus that closes under its tasks lets them come to an end', async (t) => {
  const { initiator, disk, backstore } = setUp();
  backstore.cancel = () => {};
  const running = initiator.start(READ);
  const dormant = initiator.start({ ...READ, attribute: TaskAttribute.ORDERED });
  initiator.nexus.close();
  t.true((await dormant.result).aborted);
  t.is(disk.itlNexuses.size, 1 + 1);
  backstore.releaseHeld();
  t.true((await running.result).aborted);
  t.is(disk.itlNexuses.size, 1);
  t.is(disk.taskSet.count, 0);
});
