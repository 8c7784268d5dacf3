import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import {
  type Initiator,
  LocalTarget,
  type RunningCommand,
  ServiceResponse,
  Status,
  UsageError,
  type UserBackstore,
} from '../../src/index.ts';
import { cdb10, outcome, pattern } from '../support/block-cdbs.ts';
import { TEST_UNIT_READY } from '../support/primary-cdbs.ts';

const READ_10 = 0x28;
const WRITE_10 = 0x2a;
const PERSISTENT_RESERVE_OUT = 0x5f;

test('a disk is opened, written and read in a few lines', async (t) => {
  const target = LocalTarget.open(['ram:1M', 'null:1G']);
  const initiator = target.connect();
  t.is(outcome(await initiator.send({ cdb: TEST_UNIT_READY })), '6/29/00');
  const data = pattern(1024, 1);
  t.is(outcome(await initiator.send({ cdb: cdb10(WRITE_10, 4, 2), dataOut: data })), 'GOOD');
  const read = await initiator.send({ cdb: cdb10(READ_10, 4, 2), dataInLength: 2048 });
  t.deepEqual(read.dataIn, data);
  t.is(read.residual, 1024);
  await target.close();
});

test('a text that names no disk is a UsageError, and nothing stays open', (t) => {
  t.throws(() => LocalTarget.open(['ram:1M', 'ram:nothing']), { instanceOf: UsageError });
});

test('initiators have names that follow from the configuration, and reservations tell them apart', async (t) => {
  const target = LocalTarget.open(['ram:1M'], { name: 'reserved' });
  const [a, b] = [target.connect('a'), target.connect('b')];
  t.not(a.name, b.name);
  t.regex(a.name, /^naa\.5001405[0-9a-f]{9}$/);
  for (const initiator of [a, b]) await initiator.send({ cdb: TEST_UNIT_READY });
  const key = new Uint8Array(24);
  key[15] = 1;
  const register = { cdb: [PERSISTENT_RESERVE_OUT, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: key };
  t.is(outcome(await a.send(register)), 'GOOD');
  const held = new Uint8Array(24);
  held[7] = 1;
  const reserve = { cdb: [PERSISTENT_RESERVE_OUT, 1, 1, 0, 0, 0, 0, 0, 24, 0], dataOut: held };
  t.is(outcome(await a.send(reserve)), 'GOOD');
  const write = { cdb: cdb10(WRITE_10, 0, 1), dataOut: new Uint8Array(512) };
  t.is(outcome(await b.send(write)), 'RESERVATION CONFLICT');
  t.is(outcome(await a.send(write)), 'GOOD');
  await target.close();
  const again = LocalTarget.open(['ram:1M'], { name: 'reserved' });
  t.is(again.connect('a').name, a.name);
  await again.close();
});

/** Reads wait until they are let go. */
class SlowDisk implements UserBackstore {
  readonly byteLength = 1 << 20;
  release: () => void = () => {};
  private readonly released = new Promise<void>((resolve) => {
    this.release = resolve;
  });

  async read(_offset: number, length: number): Promise<Uint8Array> {
    await this.released;
    return new Uint8Array(length);
  }
}

type Manage = (initiator: Initiator, command: RunningCommand) => Promise<ServiceResponse>;

const functions: [string, Manage][] = [
  ['ABORT TASK', (initiator, command) => initiator.abort(command)],
  ['ABORT TASK SET', (initiator) => initiator.abortTaskSet()],
  ['LOGICAL UNIT RESET', (initiator) => initiator.resetLogicalUnit()],
  ['I_T NEXUS RESET', (initiator) => initiator.resetNexus()],
];

for (const [name, manage] of functions) {
  test(`${name} is answered when what it ends has ended`, async (t) => {
    const disk = new SlowDisk();
    const target = LocalTarget.open([{ name: 'slow', backstore: disk }]);
    const initiator = target.connect();
    await initiator.send({ cdb: TEST_UNIT_READY });
    const command = initiator.start({ cdb: cdb10(READ_10, 0, 1), dataInLength: 512 });
    let answered = false;
    const answer = manage(initiator, command).finally(() => {
      answered = true;
    });
    await delay(5);
    t.false(answered, 'the read still uses its memory');
    disk.release();
    t.is(await answer, ServiceResponse.FUNCTION_COMPLETE);
    t.true((await command.result).aborted);
    await target.close();
  });
}

test("what a user's backstore throws is reported, and its command ends with a medium error", async (t) => {
  const heard: unknown[] = [];
  const backstore: UserBackstore = {
    byteLength: 1 << 20,
    read: async () => {
      throw new Error('head crash');
    },
  };
  const target = LocalTarget.open([{ name: 'broken', backstore }], { report: (error) => heard.push(error) });
  const initiator = target.connect();
  await initiator.send({ cdb: TEST_UNIT_READY });
  const { status } = await initiator.send({ cdb: cdb10(READ_10, 0, 1), dataInLength: 512 });
  t.is(status, Status.CHECK_CONDITION);
  t.deepEqual(heard, [new Error('head crash')]);
  const write = { cdb: cdb10(WRITE_10, 0, 1), dataOut: new Uint8Array(512) };
  t.is(outcome(await initiator.send(write)), '7/27/00');
  await target.close();
});

test('a CDB that no transport could carry is refused before the core sees it', async (t) => {
  const target = LocalTarget.open(['ram:1M']);
  for (const length of [0, 261]) {
    await t.throwsAsync(async () => target.connect().send({ cdb: new Uint8Array(length) }), {
      instanceOf: RangeError,
    });
  }
  await target.close();
});
