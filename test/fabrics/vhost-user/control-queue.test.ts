import test from 'ava';
import {
  ControlType,
  QueueIndex,
  TaskManagementSubtype,
  VirtioScsiResponse,
} from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { ByteBuilder } from '../../support/vhost-user/byte-builder.ts';
import { eventually, Served, senseCode } from '../../support/vhost-user/served.ts';
import { lunField } from '../../support/vhost-user/virtio-scsi-driver.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };
const { OK, ABORTED, RESET, FUNCTION_SUCCEEDED, FUNCTION_REJECTED, INCORRECT_LUN, BAD_TARGET } =
  VirtioScsiResponse;

const aborts: readonly [string, number, number][] = [
  ['ABORT_TASK', TaskManagementSubtype.ABORT_TASK, ABORTED],
  ['ABORT_TASK_SET', TaskManagementSubtype.ABORT_TASK_SET, ABORTED],
  ['CLEAR_TASK_SET', TaskManagementSubtype.CLEAR_TASK_SET, ABORTED],
  ['LOGICAL_UNIT_RESET', TaskManagementSubtype.LOGICAL_UNIT_RESET, RESET],
  ['I_T_NEXUS_RESET', TaskManagementSubtype.I_T_NEXUS_RESET, RESET],
];

for (const [name, subtype, response] of aborts) {
  test(`${name} ends a running request and is answered after it`, async (t) => {
    const served = await Served.start();
    const { driver } = await served.boot();
    served.backstore.hold = true;
    const order: string[] = [];
    const read = driver.execute({ ...READ, id: 0x7766 });
    void read.then(() => order.push('request'));
    await eventually(() => served.backstore.held.length === 1);
    t.is(await driver.manageTask(subtype, { id: 0x7766 }), OK);
    order.push('function');
    t.is((await read).response, response);
    t.deepEqual(order, ['request', 'function']);
    await served.close();
  });
}

test('QUERY_TASK_SET tells whether there is any task', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  served.backstore.hold = true;
  const { QUERY_TASK_SET } = TaskManagementSubtype;
  const read = driver.execute(READ);
  await eventually(() => served.backstore.held.length === 1);
  t.is(await driver.manageTask(QUERY_TASK_SET), FUNCTION_SUCCEEDED);
  served.backstore.release();
  await read;
  t.is(await driver.manageTask(QUERY_TASK_SET), OK);
  await served.close();
});

test('CLEAR_ACA ends the condition of the task that failed', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  // NACA, and a block that is not there.
  const failed = await driver.execute({
    cdb: [0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0x04],
    dataInLength: 512,
  });
  t.is(failed.status, Status.CHECK_CONDITION);
  t.is((await driver.execute(READ)).status, Status.ACA_ACTIVE);
  t.is(await driver.manageTask(TaskManagementSubtype.CLEAR_ACA), OK);
  t.is((await driver.execute(READ)).status, Status.GOOD);
  await served.close();
});

test('a function waits for a system call that cannot be cancelled', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  served.backstore.hold = true;
  served.backstore.cancellable = false;
  const read = driver.execute({ ...READ, id: 1 });
  await eventually(() => served.backstore.held.length === 1);
  let answered = false;
  const abort = driver.manageTask(TaskManagementSubtype.ABORT_TASK, { id: 1 }).then((response) => {
    answered = true;
    return response;
  });
  const queried = await driver.manageTask(TaskManagementSubtype.QUERY_TASK, { id: 1 });
  t.is(queried, FUNCTION_SUCCEEDED);
  t.false(answered);
  served.backstore.release();
  t.is(await abort, OK);
  t.is((await read).response, ABORTED);
  await served.close();
});

test('a function that waits too long for a system call fails, once, and its task stays', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  served.backstore.hold = true;
  served.backstore.cancellable = false;
  const read = driver.execute({ ...READ, id: 1 });
  await eventually(() => served.backstore.held.length === 1);
  const reset = await driver.manageTask(TaskManagementSubtype.LOGICAL_UNIT_RESET);
  t.is(reset, VirtioScsiResponse.FAILURE);
  t.is(await driver.manageTask(TaskManagementSubtype.QUERY_TASK, { id: 1 }), FUNCTION_SUCCEEDED);
  served.backstore.hold = false;
  served.backstore.release();
  t.is((await read).response, RESET);
  t.is(senseCode((await driver.execute(TEST_UNIT_READY)).sense), 0x2903);
  t.is(await driver.manageTask(TaskManagementSubtype.LOGICAL_UNIT_RESET), OK);
  await served.close();
});

test('a request that was made available before the function is known to it', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  served.backstore.hold = true;
  // No kick: the driver's order is all that says which came first.
  const queue = driver.queues[QueueIndex.FIRST_REQUEST];
  const kick = queue.kick.bind(queue);
  queue.kick = () => {};
  const read = driver.execute({ ...READ, id: 5 });
  t.is(await driver.manageTask(TaskManagementSubtype.ABORT_TASK, { id: 5 }), OK);
  t.is((await read).response, ABORTED);
  queue.kick = kick;
  await served.close();
});

test('a reset is followed by a unit attention', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  await driver.manageTask(TaskManagementSubtype.LOGICAL_UNIT_RESET);
  const result = await driver.execute(TEST_UNIT_READY);
  t.is(result.status, Status.CHECK_CONDITION);
  t.is(senseCode(result.sense), 0x2903);
  await served.close();
});

const answers: readonly [string, number, { target?: number; lun?: number }, number][] = [
  ['a query for a task that is not there', TaskManagementSubtype.QUERY_TASK, {}, OK],
  ['CLEAR ACA without ACA', TaskManagementSubtype.CLEAR_ACA, {}, OK],
  ['a LUN that is not there', TaskManagementSubtype.ABORT_TASK, { lun: 9 }, INCORRECT_LUN],
  ['a target that is not there', TaskManagementSubtype.ABORT_TASK, { target: 9 }, BAD_TARGET],
  ['an unknown function', 8, {}, FUNCTION_REJECTED],
  ['a function with all bits', 0xffff_ffff, {}, FUNCTION_REJECTED],
];

for (const [what, subtype, address, response] of answers) {
  test(`${what} is answered with ${response}`, async (t) => {
    const served = await Served.start();
    const { driver } = await served.boot();
    t.is(await driver.manageTask(subtype, address), response);
    await served.close();
  });
}

const notification = (type: number) => new ByteBuilder().u32(type).raw(lunField(0, 0)).u32(0x7e).build();
const requests: readonly [string, Uint8Array, number[]][] = [
  ['an asynchronous notification query', notification(ControlType.AN_QUERY), [0, 0, 0, 0, OK]],
  ['a subscription', notification(ControlType.AN_SUBSCRIBE), [0, 0, 0, 0, OK]],
  ['an unknown type', notification(77), [FUNCTION_REJECTED]],
  ['a type cut short', Uint8Array.of(0, 0), [FUNCTION_REJECTED]],
  ['task management cut short', new Uint8Array(23), [FUNCTION_REJECTED]],
];

for (const [what, bytes, expected] of requests) {
  test(`${what} never stays unanswered`, async (t) => {
    const served = await Served.start();
    const { driver } = await served.boot();
    const answer = await driver.control(bytes, 5);
    t.deepEqual([...answer.subarray(0, expected.length)], expected);
    await served.close();
  });
}

test('a control request without room for an answer comes back, and the queue goes on', async (t) => {
  const served = await Served.start();
  const { driver, memory } = await served.boot();
  const address = memory.allocate(24);
  t.is(await driver.submit(QueueIndex.CONTROL, [{ address, length: 24, writable: false }]), 0);
  t.is(await driver.manageTask(TaskManagementSubtype.QUERY_TASK_SET), OK);
  await served.close();
});
