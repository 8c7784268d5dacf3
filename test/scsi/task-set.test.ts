import test from 'ava';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { Status, TaskAttribute } from '../../src/scsi/status-spec.ts';
import { Core } from '../support/core.ts';

const { SIMPLE, ORDERED, HEAD_OF_QUEUE } = TaskAttribute;
const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };

/** One block each, so that the operations of different tasks can be told apart by their offset. */
const read = (lba: number, attribute: TaskAttribute = SIMPLE) => ({
  cdb: [0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0],
  dataInLength: 512,
  attribute,
});
const write = (lba: number, attribute: TaskAttribute = SIMPLE) => ({
  cdb: [0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0],
  dataOut: new Uint8Array(512),
  attribute,
});

function setUp() {
  const core = new Core();
  core.backstore.hold = true;
  const other = core.connect('naa.5000000000000002');
  /** The blocks whose operations are under way. */
  const running = () => core.backstore.held.map((operation) => operation.offset / 512);
  /** Lets the operation on block `lba` come to its end. */
  const end = (lba: number) => {
    const { held } = core.backstore;
    held.unshift(...held.splice(running().indexOf(lba), 1));
    core.backstore.releaseHeld(1);
  };
  const start = (initiator: Initiator, ...requests: ReturnType<typeof read | typeof write>[]) =>
    requests.map((request) => initiator.start(request).task);
  const { disk, backstore, environment, initiator } = core;
  return { disk, backstore, environment, initiator, core, other, running, end, start };
}

test('SIMPLE tasks all run at once', (t) => {
  const { initiator, running, start } = setUp();
  start(initiator, read(1), write(2), read(3));
  t.deepEqual(running(), [1, 2, 3]);
});

test('an ORDERED task waits for all before it and holds back all after it', (t) => {
  const { initiator, running, start, end } = setUp();
  start(initiator, read(1), read(2), read(3, ORDERED), read(4), read(5, ORDERED), read(6));
  t.deepEqual(running(), [1, 2]);
  end(2);
  t.deepEqual(running(), [1]);
  end(1);
  t.deepEqual(running(), [3]);
  end(3);
  t.deepEqual(running(), [4]);
  end(4);
  t.deepEqual(running(), [5]);
  end(5);
  t.deepEqual(running(), [6]);
});

test('a HEAD OF QUEUE task runs at once, and nothing else starts before it ends', (t) => {
  const { initiator, running, start, end } = setUp();
  start(initiator, read(1), read(2, ORDERED), read(3, HEAD_OF_QUEUE), read(4, HEAD_OF_QUEUE));
  t.deepEqual(running(), [1, 3, 4]);
  start(initiator, read(5));
  end(1);
  end(3);
  t.deepEqual(running(), [4]);
  end(4);
  t.deepEqual(running(), [2]);
  end(2);
  t.deepEqual(running(), [5]);
});

test('tasks of all initiators are in one set', (t) => {
  const { initiator, other, running, start, end } = setUp();
  start(initiator, read(1));
  start(other, read(2, ORDERED));
  start(initiator, read(3));
  t.deepEqual(running(), [1]);
  end(1);
  t.deepEqual(running(), [2]);
  end(2);
  t.deepEqual(running(), [3]);
});

test('TST 001b gives every initiator a set of its own', (t) => {
  const { initiator, other, disk, running, start, end } = setUp();
  disk.control.tst = 1;
  start(initiator, read(1), read(2, ORDERED), read(3));
  start(other, read(4, ORDERED), read(5));
  t.deepEqual(running(), [1, 4]);
  end(4);
  t.deepEqual(running(), [1, 5]);
  end(1);
  t.deepEqual(running(), [5, 2]);
});

test('restricted reordering keeps the reads and writes of one initiator in order', (t) => {
  const { initiator, other, disk, running, start, end } = setUp();
  disk.control.queueAlgorithm = 0;
  start(initiator, read(1), read(2), write(3), read(4));
  start(other, write(5));
  t.deepEqual(running(), [1, 2, 5]);
  end(1);
  end(2);
  t.deepEqual(running(), [5, 3]);
  end(3);
  t.deepEqual(running(), [5, 4]);
});

const URGENT = [
  { name: 'REPORT LUNS', request: { cdb: [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], dataInLength: 16 } },
  { name: 'INQUIRY', request: { cdb: [0x12, 0, 0, 0, 36, 0], dataInLength: 36 } },
  { name: 'REQUEST SENSE', request: { cdb: [0x03, 0, 0, 0, 18, 0], dataInLength: 18 } },
];
for (const { name, request } of URGENT) {
  test(`${name} does not wait for an ORDERED task, whatever its own attribute`, async (t) => {
    const { initiator, start } = setUp();
    start(initiator, read(1), read(2, ORDERED));
    for (const attribute of [SIMPLE, ORDERED]) {
      t.is((await initiator.send({ ...request, attribute })).status, Status.GOOD);
    }
  });
}

test('a unit attention that arises while a task waits is reported by that task', async (t) => {
  const { initiator, start, end } = setUp();
  start(initiator, read(1));
  const { result } = initiator.start(read(2, ORDERED));
  initiator.nexus.unit(0)!.establish(Sense.CAPACITY_DATA_HAS_CHANGED);
  end(1);
  t.deepEqual([...(await result).sense.subarray(12, 14)], [0x2a, 0x09]);
});

test('thousands of waiting tasks that end at once do not nest', (t) => {
  const { initiator, backstore, disk } = setUp();
  initiator.start(read(1));
  for (let i = 0; i < 6000; i++) initiator.start(read(2, ORDERED));
  backstore.hold = false;
  backstore.releaseHeld();
  t.is(disk.taskSet.count, 0);
});

test('beyond its limit the set answers TASK SET FULL, or BUSY to an initiator without tasks', async (t) => {
  const { initiator, other, disk, start } = setUp();
  disk.taskSet.limit = 2;
  start(initiator, read(1), read(2));
  t.is((await initiator.send(TEST_UNIT_READY)).status, Status.TASK_SET_FULL);
  t.is((await other.send(TEST_UNIT_READY)).status, Status.BUSY);
});

test('queue_depth sets the limit', (t) => {
  const { disk } = new Core({ attributes: { queue_depth: 32 } });
  t.is(disk.taskSet.limit, 32 * 64);
});

/** What a failed READ does to the other tasks, by QERR and TST: own running, own dormant, other's running. */
const ERROR_MANAGEMENT = [
  { qerr: 0, tst: 0, aborted: [false, false, false] },
  { qerr: 1, tst: 0, aborted: [true, true, true] },
  { qerr: 1, tst: 1, aborted: [true, true, false] },
  { qerr: 3, tst: 0, aborted: [true, true, false] },
];
for (const { qerr, tst, aborted } of ERROR_MANAGEMENT) {
  test(`QERR ${qerr} with TST ${tst} aborts what it should after a CHECK CONDITION`, async (t) => {
    const { initiator, other, disk, backstore, start, end } = setUp();
    Object.assign(disk.control, { qerr, tst, tas: false });
    const tasks = [...start(initiator, read(1), read(2)), ...start(other, read(4))];
    tasks.splice(2, 0, ...start(initiator, read(3, ORDERED)));
    backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR };
    end(1);
    backstore.fault = undefined;
    t.is(tasks[0].status, Status.CHECK_CONDITION);
    t.deepEqual(
      tasks.slice(1).map((task) => task.aborted),
      aborted,
    );
    const { sense } = await other.send({ ...TEST_UNIT_READY, attribute: HEAD_OF_QUEUE });
    const cleared = sense.length > 0 && (sense[12] << 8) | sense[13];
    t.is(cleared, aborted[2] && Sense.COMMANDS_CLEARED_BY_ANOTHER_INITIATOR.code);
    backstore.hold = false;
    backstore.releaseHeld();
    t.is(disk.taskSet.count, 0);
  });
}

test('what an initiator sends when it hears of an error is not aborted with the rest (QERR 01b)', async (t) => {
  const { initiator, disk, backstore, end } = setUp();
  disk.control.qerr = 1;
  const failing = initiator.start(read(1));
  const aborted = initiator.start(read(2));
  const tell = initiator.taskDone.bind(initiator);
  let next: ReturnType<Initiator['start']> | undefined;
  initiator.taskDone = (task) => {
    if (task === failing.task) next = initiator.start(read(3));
    tell(task);
  };
  backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR };
  end(1);
  backstore.fault = undefined;
  t.true((await aborted.result).aborted);
  t.false(next!.task.aborted);
  end(3);
  t.is((await next!.result).status, Status.GOOD);
});

test('an exception in a handler costs one command', async (t) => {
  const { initiator, environment, backstore, disk } = setUp();
  const defects: unknown[] = [];
  Object.assign(environment, { defect: (error: unknown) => defects.push(error) });
  const broken = new Error('broken');
  backstore.start = () => {
    throw broken;
  };
  const { status, sense } = await initiator.send(read(1));
  t.is(status, Status.CHECK_CONDITION);
  t.deepEqual([sense[2], sense[12], sense[13]], [0x04, 0x44, 0x00]);
  t.deepEqual(defects, [broken]);
  t.is(disk.taskSet.count, 0);
});

test('an exception in a handler does not stop tasks that were waiting', async (t) => {
  const { initiator, backstore, disk, end, running } = setUp();
  const perform = backstore.start.bind(backstore);
  const { result } = initiator.start(read(1, ORDERED));
  const commands = [initiator.start(read(2)), initiator.start(read(3))];
  backstore.start = (operation) => {
    if (operation.offset === 2 * 512) throw new Error('broken');
    perform(operation);
  };
  t.throws(() => end(1), { message: 'broken' });
  t.is((await result).status, Status.GOOD);
  t.is((await commands[0].result).status, Status.CHECK_CONDITION);
  t.deepEqual(running(), [3]);
  end(3);
  t.is((await commands[1].result).status, Status.GOOD);
  t.is(disk.taskSet.count, 0);
});
