/** CmdSN (RFC 7143 4.2.2.1): commands run in their order, and what holds them up or drops them. */
import test from 'ava';
import {
  Bhs,
  CommandFlag,
  InitiatorOpcode,
  LoginStatus,
  NO_TAG,
  RejectReason,
  TargetOpcode,
  TaskFunction,
} from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { IscsiClient } from '../../support/iscsi-client.ts';
import { TEST_IQN } from '../../support/iscsi-portal.ts';
import {
  CLEAN,
  FINAL,
  opcodeOf,
  over,
  session,
  TEST_UNIT_READY,
  write10,
} from '../../support/iscsi-session.ts';

test('commands run in CmdSN order over all connections of a session', async (t) => {
  const opened = await session({}, { keys: [['MaxConnections', '2']] });
  const { open, client, tsih } = opened;
  const second = await IscsiClient.open(open.port);
  await second.login({ target: TEST_IQN, tsih, cid: 1 });
  second.cmdSn = client.cmdSn + 1;
  second.send(second.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512), Buffer.alloc(512, 2));
  t.is(await second.next(100), undefined);
  client.send(client.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512), Buffer.alloc(512, 1));
  t.is((await client.next())!.header[3], 0);
  t.is((await second.next())!.header[3], 0);
  t.is(open.core.backstore.bytes[0], 2);
  const third = await IscsiClient.open(open.port);
  t.is(
    IscsiClient.status(await third.login({ target: TEST_IQN, tsih, cid: 2 })),
    LoginStatus.TOO_MANY_CONNECTIONS,
  );
  t.deepEqual(await over(opened, second, third), CLEAN);
});

test('unsolicited data is kept for a command that waits for its turn', async (t) => {
  const opened = await session({}, { keys: [['InitialR2T', 'No']] });
  const { open, client } = opened;
  const first = client.command(TEST_UNIT_READY, FINAL, 0);
  const second = client.command(write10(0, 2), CommandFlag.WRITE, 1024);
  client.send(second, Buffer.alloc(512, 0x11));
  const tag = second.readUInt32BE(Bhs.TASK_TAG);
  client.send(client.dataOut(tag, NO_TAG, 0, 512, true), Buffer.alloc(512, 0x22));
  client.send(first);
  t.deepEqual([(await client.next())!.header[3], (await client.next())!.header[3]], [0, 0]);
  t.deepEqual([open.core.backstore.bytes[0], open.core.backstore.bytes[512]], [0x11, 0x22]);
  t.deepEqual(await over(opened), CLEAN);
});

test('ABORT TASK of a command that was lost lets those behind it run', async (t) => {
  const opened = await session();
  const { client } = opened;
  const lost = client.command(TEST_UNIT_READY, FINAL, 0);
  const behind = client.command(TEST_UNIT_READY, FINAL, 0);
  client.send(behind);
  const abort = client.request(InitiatorOpcode.TASK_MANAGEMENT, FINAL | TaskFunction.ABORT_TASK, true);
  lost.copy(abort, Bhs.REFERENCED_TAG, Bhs.TASK_TAG, Bhs.TASK_TAG + 4);
  lost.copy(abort, Bhs.REFERENCED_CMD_SN, Bhs.CMD_SN, Bhs.CMD_SN + 4);
  client.send(abort);
  const answers = [(await client.next())!, (await client.next())!].map(({ header }) => opcodeOf(header));
  t.deepEqual(new Set(answers), new Set([TargetOpcode.SCSI_RESPONSE, TargetOpcode.TASK_MANAGEMENT_RESPONSE]));
  t.deepEqual(await over(opened), CLEAN);
});

test('ABORT TASK SET drops what waits for an earlier CmdSN', async (t) => {
  const opened = await session();
  const { open, client } = opened;
  const first = client.command(TEST_UNIT_READY, FINAL, 0);
  client.send(client.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512), Buffer.alloc(512, 9));
  client.send(client.request(InitiatorOpcode.TASK_MANAGEMENT, FINAL | TaskFunction.ABORT_TASK_SET, true));
  t.is(opcodeOf((await client.next())!.header), TargetOpcode.TASK_MANAGEMENT_RESPONSE);
  client.send(first);
  await client.next();
  t.is(await client.next(100), undefined);
  t.is(open.core.backstore.bytes[0], 0);
  t.deepEqual(await over(opened), CLEAN);
});

test('immediate commands beyond the limit are rejected', async (t) => {
  const opened = await session();
  const { open, client } = opened;
  open.core.backstore.hold = true;
  const count = 200;
  for (let i = 0; i < count; i++) {
    const command = client.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], FINAL | CommandFlag.READ, 512);
    command[0] |= 0x40;
    client.cmdSn--;
    client.send(command);
  }
  const rejected = (await client.next())!;
  t.is(opcodeOf(rejected.header), TargetOpcode.REJECT);
  t.is(rejected.header[2], RejectReason.IMMEDIATE_COMMAND_REJECT);
  t.true(open.core.backstore.held.length < count);
  t.deepEqual(await over(opened), CLEAN);
});

test('an opcode that does not exist is rejected, and the connection goes on', async (t) => {
  const opened = await session();
  const { client } = opened;
  client.send(client.request(0x1d, FINAL));
  const { header } = (await client.next())!;
  t.is(opcodeOf(header), TargetOpcode.REJECT);
  t.is(header[2], RejectReason.COMMAND_NOT_SUPPORTED);
  t.is(await client.ready(), 0);
  t.deepEqual(await over(opened), CLEAN);
});

test('commands wait for buffers that others hold, and keep what they were sent meanwhile', async (t) => {
  const opened = await session(
    {},
    {
      keys: [
        ['InitialR2T', 'No'],
        ['FirstBurstLength', '1024'],
      ],
    },
  );
  const { client } = opened;
  const length = 16 << 20;
  const tags: number[] = [];
  for (let i = 0; i < 5; i++) {
    const command = client.command(write10(0, 2), CommandFlag.WRITE, length);
    client.send(command, Buffer.alloc(512, i));
    tags.push(command.readUInt32BE(Bhs.TASK_TAG));
    client.send(client.dataOut(tags[i], NO_TAG, 0, 512, true), Buffer.alloc(512, i));
  }
  // 64 MiB are four buffers (buffer-budget.ts); each asks for its first burst.
  const asked = new Set<number>();
  for (let i = 0; i < 4; i++) asked.add((await client.next())!.header.readUInt32BE(Bhs.TASK_TAG));
  t.deepEqual([...asked], tags.slice(0, 4));
  t.is(await client.next(100), undefined);
  const abort = client.request(InitiatorOpcode.TASK_MANAGEMENT, FINAL | TaskFunction.ABORT_TASK, true);
  abort.writeUInt32BE(tags[0], Bhs.REFERENCED_TAG);
  client.send(abort);
  const next = [(await client.next())!, (await client.next())!].map(({ header }) => opcodeOf(header));
  t.true(next.includes(TargetOpcode.R2T) && next.includes(TargetOpcode.TASK_MANAGEMENT_RESPONSE));
  t.deepEqual(await over(opened), CLEAN);
});
