import test from 'ava';
import type { CommandRequest, Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { AccessState } from '../../src/scsi/alua-spec.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { Status, TaskAttribute } from '../../src/scsi/status-spec.ts';
import { TargetPortGroup, type TargetPortGroupOptions } from '../../src/scsi/target-port-group.ts';
import { Core, type CoreOptions, TestStore } from '../support/core.ts';

const { ACTIVE_OPTIMIZED, ACTIVE_NON_OPTIMIZED, STANDBY, UNAVAILABLE, LOGICAL_BLOCK_DEPENDENT } = AccessState;
const { OFFLINE, TRANSITIONING } = AccessState;

/** Port 1 is in group 1 and port 2 in group 2; one initiator on each. */
function setUp(options: Partial<TargetPortGroupOptions> = {}, coreOptions: CoreOptions = {}) {
  const core = new Core(coreOptions);
  const groups = [1, 2].map((id) => new TargetPortGroup({ ...options, id, ports: [id] }));
  for (const group of groups) core.disk.alua.addGroup(group);
  const { disk, backstore, environment } = core;
  return {
    disk,
    backstore,
    environment,
    core,
    groups,
    first: core.initiator,
    second: core.connect('naa.5000000000000002', 2),
  };
}

const INQUIRY = { cdb: [0x12, 0, 0, 0, 96, 0], dataInLength: 96 };
const REQUEST_SENSE = { cdb: [0x03, 0, 0, 0, 252, 0], dataInLength: 252 };
const REPORT_LUNS = { cdb: [0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], dataInLength: 256 };
const MODE_SENSE = { cdb: [0x1a, 0, 0x0a, 0, 252, 0], dataInLength: 252 };
const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };
const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const WRITE = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512) };
const rtpg = (format = 0, length = 256) => ({
  cdb: [0xa3, 0x0a | (format << 5), 0, 0, 0, 0, 0, 0, length >> 8, length & 0xff, 0, 0],
  dataInLength: length,
});
const stpg = (...changes: [state: number, id: number][]): CommandRequest => {
  const list = [0, 0, 0, 0, ...changes.flatMap(([state, id]) => [state, 0, id >> 8, id & 0xff])];
  return { cdb: [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, list.length, 0, 0], dataOut: Uint8Array.from(list) };
};
const NO_CHANGE = { cdb: [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] };

async function outcome(initiator: Initiator, request: CommandRequest): Promise<number | 'GOOD'> {
  const { status, sense } = await initiator.send(request);
  return status === Status.GOOD ? 'GOOD' : (sense[12] << 8) | sense[13];
}
const states = async (initiator: Initiator) => {
  const { dataIn } = await initiator.send(rtpg());
  return [dataIn[4] & 0x0f, dataIn[16] & 0x0f];
};
/** Lets promises that are settled run their course. */
const settle = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

test('a unit without configuration has one group, active/optimized, that INQUIRY and VPD 83h agree on', async (t) => {
  const core = new Core();
  core.connect('naa.5000000000000002', 7);
  const { dataIn } = await core.initiator.send(rtpg());
  // AO_SUP, AN_SUP, S_SUP, U_SUP, O_SUP, T_SUP; two ports.
  t.deepEqual([...dataIn], [0, 0, 0, 16, 0, 0xcf, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7]);
  t.is((await core.initiator.send(INQUIRY)).dataIn[5] & 0x30, 0x30);
});

test('the extended format carries the implicit transition time', async (t) => {
  const { first } = setUp({ implicitTransitionTime: 9 });
  const { dataIn } = await first.send(rtpg(1));
  t.deepEqual([...dataIn.subarray(0, 12)], [0, 0, 0, 28, 0x10, 9, 0, 0, 0, 0xcf, 0, 1]);
});

test('an unknown format is refused', async (t) => {
  const { sense } = await setUp().first.send(rtpg(2));
  t.deepEqual([sense[12], ...sense.subarray(15, 18)], [0x24, 0xcf, 0, 1]);
});

test('the answer is cut to the allocation length, and its length field is not', async (t) => {
  const { dataIn } = await setUp().first.send(rtpg(0, 4));
  t.deepEqual([...dataIn], [0, 0, 0, 24]);
});

test('the preferred bit, the status code and the supported states are reported', async (t) => {
  const { first, groups } = setUp({ supported: [ACTIVE_OPTIMIZED, STANDBY] });
  groups[0].preferred = true;
  await first.send(stpg([STANDBY, 2]));
  const { dataIn } = await first.send(rtpg());
  t.deepEqual([...dataIn.subarray(4, 12)], [0x80, 0x05, 0, 1, 0, 0, 0, 1]);
  t.deepEqual([...dataIn.subarray(16, 24)], [STANDBY, 0x05, 0, 2, 0, 1, 0, 1]);
});

/** What each state answers: GOOD, or the state's additional sense code where it says no. */
const RULES = [
  { command: 'INQUIRY', request: INQUIRY, good: 'all' },
  { command: 'REQUEST SENSE', request: REQUEST_SENSE, good: 'all' },
  { command: 'REPORT LUNS', request: REPORT_LUNS, good: 'all' },
  { command: 'REPORT TARGET PORT GROUPS', request: rtpg(), good: 'all' },
  { command: 'SET TARGET PORT GROUPS', request: NO_CHANGE, good: 'unavailable' },
  { command: 'MODE SENSE', request: MODE_SENSE, good: 'standby' },
  { command: 'TEST UNIT READY', request: TEST_UNIT_READY, good: 'active' },
  { command: 'READ(10)', request: READ, good: 'active' },
  { command: 'WRITE(10)', request: WRITE, good: 'active' },
];
const STATES = [
  { state: ACTIVE_OPTIMIZED, admits: ['all', 'unavailable', 'standby', 'active'], code: 0 },
  { state: ACTIVE_NON_OPTIMIZED, admits: ['all', 'unavailable', 'standby', 'active'], code: 0 },
  { state: LOGICAL_BLOCK_DEPENDENT, admits: ['all', 'unavailable', 'standby', 'active'], code: 0 },
  { state: STANDBY, admits: ['all', 'unavailable', 'standby'], code: 0x040b },
  { state: UNAVAILABLE, admits: ['all', 'unavailable'], code: 0x040c },
  { state: OFFLINE, admits: ['all'], code: 0x0412 },
  { state: TRANSITIONING, admits: ['all'], code: 0x040a },
];
for (const { state, admits, code } of STATES) {
  test(`state ${state.toString(16)}h admits what it should, on its own port only`, async (t) => {
    const { first, second, groups } = setUp();
    groups[0].state = state;
    for (const group of groups) for (const unit of group.units) unit.groupsChanged();
    for (const { command, request, good } of RULES) {
      t.is(await outcome(first, request), admits.includes(good) ? 'GOOD' : code, command);
      t.is(await outcome(second, request), 'GOOD', command);
    }
  });
}

test('SET TARGET PORT GROUPS fails over, and tells the others', async (t) => {
  const { first, second, groups } = setUp();
  groups[1].state = STANDBY;
  for (const unit of groups[1].units) unit.groupsChanged();
  t.is(await outcome(second, stpg([ACTIVE_OPTIMIZED, 2], [STANDBY, 1])), 'GOOD');
  t.is(await outcome(first, TEST_UNIT_READY), Sense.ASYMMETRIC_ACCESS_STATE_CHANGED.code);
  t.is(await outcome(first, TEST_UNIT_READY), Sense.TARGET_PORT_IN_STANDBY_STATE.code);
  t.is(await outcome(second, WRITE), 'GOOD');
  t.deepEqual(await states(first), [STANDBY, ACTIVE_OPTIMIZED]);
});

test('an implicit change tells everybody', async (t) => {
  const { first, second, groups, environment } = setUp();
  await groups[0].transition(ACTIVE_NON_OPTIMIZED, environment);
  for (const one of [first, second]) {
    t.is(await outcome(one, TEST_UNIT_READY), Sense.ASYMMETRIC_ACCESS_STATE_CHANGED.code);
  }
  t.is((await first.send(rtpg())).dataIn[9], 2);
});

test('the target cannot put a group into a state that it does not support, or change it twice at a time', async (t) => {
  const { groups, environment } = setUp({ supported: [ACTIVE_OPTIMIZED, STANDBY], transitionDelay: 10 });
  await t.throwsAsync(groups[0].transition(UNAVAILABLE, environment), { message: /state 3/ });
  const change = groups[0].transition(STANDBY, environment);
  await t.throwsAsync(groups[0].transition(ACTIVE_OPTIMIZED, environment), { message: /already/ });
  await settle();
  environment.advance(10);
  await change;
  t.is(groups[0].state, STANDBY);
});

test('no change is no news', async (t) => {
  const { first, second } = setUp();
  t.is(await outcome(first, stpg([ACTIVE_OPTIMIZED, 1])), 'GOOD');
  t.is(await outcome(second, TEST_UNIT_READY), 'GOOD');
});

const REFUSED = [
  { title: 'a group that does not exist', request: stpg([STANDBY, 9]), sense: [0x26, 0x80, 0, 6] },
  { title: 'a state of no meaning', request: stpg([0x7, 1]), sense: [0x26, 0x8b, 0, 4] },
  { title: 'the transitioning state', request: stpg([TRANSITIONING, 1]), sense: [0x26, 0x8b, 0, 4] },
  { title: 'an unsupported state', request: stpg([LOGICAL_BLOCK_DEPENDENT, 1]), sense: [0x26, 0x8b, 0, 4] },
  { title: 'a group named twice', request: stpg([STANDBY, 1], [UNAVAILABLE, 1]), sense: [0x26, 0x80, 0, 10] },
  { title: 'an unknown port', request: stpg([OFFLINE, 9]), sense: [0x26, 0x80, 0, 6] },
  {
    title: 'half a descriptor',
    request: { cdb: [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0], dataOut: new Uint8Array(6) },
    sense: [0x1a, 0, 0, 0],
  },
];
for (const { title, request, sense } of REFUSED) {
  test(`SET TARGET PORT GROUPS refuses ${title} and changes nothing`, async (t) => {
    const { first } = setUp();
    const result = await first.send(request);
    t.deepEqual([result.sense[12], ...result.sense.subarray(15, 18)], sense);
    t.deepEqual(await states(first), [ACTIVE_OPTIMIZED, ACTIVE_OPTIMIZED]);
  });
}

test('a group that only the target changes refuses SET TARGET PORT GROUPS', async (t) => {
  const core = new Core();
  core.disk.alua.addGroup(new TargetPortGroup({ id: 1, ports: [1], explicit: false }));
  core.connect('naa.5000000000000002', 2);
  t.is(await outcome(core.initiator, stpg([STANDBY, 1])), 0x2600);
});

test('where only the target changes states the command does not exist, and INQUIRY says so', async (t) => {
  const { first } = setUp({ explicit: false });
  t.is(await outcome(first, stpg([STANDBY, 1])), 0x2400);
  t.is((await first.send(INQUIRY)).dataIn[5] & 0x30, 0x10);
});

test('a transition takes its time, during which the unit answers so', async (t) => {
  const { first, environment } = setUp({ transitionDelay: 500 });
  const { result } = first.start(stpg([ACTIVE_NON_OPTIMIZED, 1]));
  await settle();
  t.is(await outcome(first, READ), Sense.ASYMMETRIC_ACCESS_STATE_TRANSITION.code);
  t.is(await outcome(first, stpg([STANDBY, 1])), Sense.ASYMMETRIC_ACCESS_STATE_TRANSITION.code);
  t.deepEqual(await states(first), [TRANSITIONING, ACTIVE_OPTIMIZED]);
  environment.advance(500);
  t.is((await result).status, Status.GOOD);
  t.is(await outcome(first, READ), 'GOOD');
});

test('a second change of a group in transition waits for nothing: it is refused', async (t) => {
  const { first, second, environment } = setUp({ transitionDelay: 500 });
  void first.start(stpg([STANDBY, 1]));
  await settle();
  t.is(await outcome(second, stpg([UNAVAILABLE, 1])), Sense.ASYMMETRIC_ACCESS_STATE_TRANSITION.code);
  environment.advance(500);
});

test('commands under way on the old path end before SET TARGET PORT GROUPS answers', async (t) => {
  const { first, second, backstore } = setUp();
  backstore.hold = true;
  const late = first.start(WRITE);
  const dormant = first.start({ ...WRITE, attribute: TaskAttribute.ORDERED });
  const change = second.start({ ...stpg([STANDBY, 1]), attribute: TaskAttribute.HEAD_OF_QUEUE });
  await settle();
  t.true(change.task.active);
  backstore.releaseHeld();
  t.is((await change.result).status, Status.GOOD);
  t.is((await late.result).status, Status.GOOD);
  await dormant.result;
  t.is(backstore.log.length, 1);
});

test('an aborted SET TARGET PORT GROUPS ends at once, and its change goes on', async (t) => {
  const { first, environment, disk } = setUp({ transitionDelay: 500 });
  const { task, result } = first.start(stpg([STANDBY, 1]));
  await settle();
  let done = false;
  disk.taskSet.abort([task], first.nexus, () => {
    done = true;
  });
  t.true(done);
  t.true((await result).aborted);
  environment.advance(500);
  await settle();
  t.deepEqual(await states(first), [STANDBY, ACTIVE_OPTIMIZED]);
});

test('one port goes off line without its group', async (t) => {
  const { core, first, second, groups } = setUp();
  groups[0].ports.add(3);
  const third = core.connect('naa.5000000000000003', 3);
  t.is(await outcome(second, stpg([OFFLINE, 3])), 'GOOD');
  t.is(await outcome(third, REQUEST_SENSE), 'GOOD');
  t.is(await outcome(third, TEST_UNIT_READY), Sense.OFFLINE.code);
  t.is(await outcome(first, TEST_UNIT_READY), Sense.ASYMMETRIC_ACCESS_STATE_CHANGED.code);
  t.is(await outcome(first, TEST_UNIT_READY), 'GOOD');
  await groups[0].setOffline(3, false);
  t.false(core.disk.alua.restricted);
});

test('the non-optimized state may slow its commands down', async (t) => {
  const { first, second, groups, environment } = setUp({ nonOptimizedDelay: 100 });
  await groups[0].transition(ACTIVE_NON_OPTIMIZED, environment);
  for (const one of [first, second]) one.nexus.unit(0)!.unitAttentions.clearAll();
  const slow = first.start(READ);
  const aborted = first.start(READ);
  t.is(await outcome(second, READ), 'GOOD');
  t.true(slow.task.active);
  first.nexus.unit(0)!.logicalUnit.taskSet.abort([aborted.task], first.nexus);
  t.true((await aborted.result).aborted);
  environment.advance(100);
  t.is((await slow.result).status, Status.GOOD);
});

test('groups may be shared by several units', async (t) => {
  const { core, first, groups, environment } = setUp();
  const other = new Core();
  core.lunMap.add(1, other.disk);
  for (const group of groups) other.disk.alua.addGroup(group);
  await groups[0].transition(STANDBY, environment);
  for (const itl of first.nexus.itlNexuses()) itl.unitAttentions.clearAll();
  for (const lun of [0, 1]) {
    t.is(await outcome(first, { ...TEST_UNIT_READY, lun }), Sense.TARGET_PORT_IN_STANDBY_STATE.code);
  }
});

test('states survive a restart where they are to', async (t) => {
  const store = new TestStore();
  const before = setUp({ persistent: true }, { store });
  t.is(await outcome(before.first, stpg([STANDBY, 1])), 'GOOD');
  const after = setUp({ persistent: true }, { store });
  t.deepEqual(await states(after.second), [STANDBY, ACTIVE_OPTIMIZED]);
  t.is(await outcome(after.first, READ), Sense.TARGET_PORT_IN_STANDBY_STATE.code);
});

test('a saved state that cannot be read is an error of its own', (t) => {
  for (const text of ['{', '{"state":99,"status":0}', 'null']) {
    const store = new TestStore();
    store.texts.set('alua-1', text);
    t.throws(() => setUp({ persistent: true }, { store }), { code: 'LUNPORT_DAMAGED_STATE' });
  }
});

test('a state that could not be saved fails SET TARGET PORT GROUPS', async (t) => {
  const store = new TestStore();
  store.save = () => Promise.reject(new Error('disk full'));
  const { first } = setUp({ persistent: true }, { store });
  const { status, sense } = await first.send(stpg([STANDBY, 2]));
  t.is(status, Status.CHECK_CONDITION);
  t.deepEqual([sense[2], sense[12], sense[13]], [0x04, 0x67, 0x0a]);
});

test('with alua_support 0 nothing of it shows', async (t) => {
  const { initiator } = new Core({ attributes: { alua_support: 0 } });
  t.is(await outcome(initiator, rtpg()), 0x2400);
  t.is((await initiator.send(INQUIRY)).dataIn[5] & 0x30, 0);
});
