/** Sessions and connections: reinstatement, pings, logout, asynchronous messages (RFC 7143 6.3, 11.9, 11.14). */
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import {
  Bhs,
  CommandFlag,
  InitiatorOpcode,
  LoginStatus,
  LogoutReason,
  LogoutResponse,
  NO_TAG,
  TargetOpcode,
  TaskFunction,
} from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { IscsiClient } from '../../support/iscsi-client.ts';
import { TEST_IQN } from '../../support/iscsi-portal.ts';
import { CLEAN, FINAL, opcodeOf, over, session, tsihOf, write10 } from '../../support/iscsi-session.ts';

test('a session is reinstated only when the writes of the old one have ended', async (t) => {
  const opened = await session();
  const { open, client } = opened;
  const { backstore } = open.core;
  backstore.hold = true;
  // A write that the kernel has already cannot be called back.
  backstore.cancel = () => {};
  client.send(client.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512), Buffer.alloc(512, 1));
  while (backstore.held.length === 0) await delay(5);
  const again = await IscsiClient.open(open.port);
  const login = again.login({ target: TEST_IQN });
  t.is(await client.next(), undefined);
  t.true(client.closed);
  t.is(await Promise.race([login, delay(200, 'waiting')]), 'waiting');
  backstore.hold = false;
  backstore.releaseHeld();
  t.is(IscsiClient.status(await login), LoginStatus.SUCCESS);
  t.is(await again.ready(), 1);
  t.deepEqual(await over(opened, again), CLEAN);
});

test('the last of several logins with one name and ISID gets the session', async (t) => {
  const opened = await session();
  const { open } = opened;
  open.core.backstore.hold = true;
  open.core.backstore.cancel = () => {};
  opened.client.send(
    opened.client.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512),
    Buffer.alloc(512, 1),
  );
  while (open.core.backstore.held.length === 0) await delay(5);
  const rivals = await Promise.all([1, 2, 3].map(() => IscsiClient.open(open.port)));
  const logins = [];
  for (const rival of rivals) {
    logins.push(rival.login({ target: TEST_IQN }));
    // Each ends the one before it.
    await (logins.at(-2) ?? opened.client.next());
  }
  open.core.backstore.releaseHeld();
  t.deepEqual(
    (await Promise.all(logins)).map((pdu) => IscsiClient.status(pdu)),
    [undefined, undefined, LoginStatus.SUCCESS],
  );
  t.deepEqual(await over(opened, ...rivals), CLEAN);
});

test('a connection is reinstated without the loss of its session', async (t) => {
  const opened = await session();
  const again = await IscsiClient.open(opened.open.port);
  again.cmdSn = opened.client.cmdSn;
  const response = await again.login({ target: TEST_IQN, tsih: opened.tsih });
  t.is(IscsiClient.status(response), LoginStatus.SUCCESS);
  t.is(tsihOf(response), opened.tsih);
  t.is(await opened.client.next(), undefined);
  t.true(opened.client.closed);
  // The nexus is the same: no unit attention.
  t.is(await again.ready(), 0);
  t.deepEqual(await over(opened, again), CLEAN);
});

test('who is silent gets a ping; who answers stays, who does not goes', async (t) => {
  const opened = await session({ pingInterval: 60 });
  const { open, client } = opened;
  const mute = await IscsiClient.open(open.port);
  await mute.login({ target: TEST_IQN, isid: 0x800000_000002 });
  for (let i = 0; i < 3; i++) {
    const { header } = (await client.next())!;
    t.is(opcodeOf(header), TargetOpcode.NOP_IN);
    t.is(header.readUInt32BE(Bhs.TASK_TAG), NO_TAG);
    const answer = client.request(InitiatorOpcode.NOP_OUT, FINAL, true);
    answer.writeUInt32BE(NO_TAG, Bhs.TASK_TAG);
    header.copy(answer, Bhs.TRANSFER_TAG, Bhs.TRANSFER_TAG, Bhs.TRANSFER_TAG + 4);
    client.send(answer);
  }
  t.is(opcodeOf((await mute.next())!.header), TargetOpcode.NOP_IN);
  const answers = setInterval(() => {
    client.send(client.request(InitiatorOpcode.NOP_OUT, FINAL, true));
  }, 50);
  t.is(await mute.next(), undefined);
  clearInterval(answers);
  t.true(mute.closed);
  t.false(client.closed);
  t.deepEqual(await over(opened, mute), CLEAN);
});

test('a target that stops asks its initiators to log out, and waits for them', async (t) => {
  const opened = await session();
  const { open, client } = opened;
  const started = Date.now();
  const closed = open.node.close(5000);
  const { header } = (await client.next())!;
  t.is(opcodeOf(header), TargetOpcode.ASYNC_MESSAGE);
  t.is(header[Bhs.ASYNC_EVENT], 1);
  t.is(header.readUInt16BE(Bhs.ASYNC_PARAMETER_3), 5);
  client.send(client.request(InitiatorOpcode.LOGOUT, FINAL | LogoutReason.CLOSE_SESSION, true));
  t.is(opcodeOf((await client.next())!.header), TargetOpcode.LOGOUT_RESPONSE);
  await closed;
  t.true(Date.now() - started < 3000);
  t.deepEqual(await over(opened), CLEAN);
});

test('a LUN that comes is announced', async (t) => {
  const opened = await session();
  const { open, client } = opened;
  open.core.lunMap.add(300, open.core.disk);
  const { header, data } = (await client.next())!;
  t.is(opcodeOf(header), TargetOpcode.ASYNC_MESSAGE);
  t.is(header[Bhs.ASYNC_EVENT], 0);
  t.is(header.readUInt16BE(Bhs.LUN), 0x4000 | 300);
  t.is(data.readUInt16BE(0), data.length - 2);
  t.deepEqual([data[4] & 0x0f, data[14], data[15]], [0x06, 0x3f, 0x0e]);
  t.deepEqual(await over(opened), CLEAN);
});

const logouts: [title: string, reason: number, cid: number, response: number, closed: boolean][] = [
  ['closing the session', LogoutReason.CLOSE_SESSION, 0, LogoutResponse.CLOSED, true],
  ['closing the connection', LogoutReason.CLOSE_CONNECTION, 0, LogoutResponse.CLOSED, true],
  [
    'closing a connection that is not there',
    LogoutReason.CLOSE_CONNECTION,
    9,
    LogoutResponse.CID_NOT_FOUND,
    false,
  ],
  ['recovery', LogoutReason.RECOVERY, 0, LogoutResponse.RECOVERY_NOT_SUPPORTED, false],
];
for (const [title, reason, cid, response, closed] of logouts) {
  test(`a logout for ${title} is answered ${response}, after what runs has ended`, async (t) => {
    const opened = await session();
    const { open, client } = opened;
    open.core.backstore.hold = true;
    if (closed)
      client.send(client.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512), Buffer.alloc(512, 1));
    const request = client.request(InitiatorOpcode.LOGOUT, FINAL | reason);
    request.writeUInt16BE(cid, Bhs.CID);
    client.send(request);
    const { header } = (await client.next())!;
    t.is(opcodeOf(header), TargetOpcode.LOGOUT_RESPONSE);
    t.is(header[2], response);
    t.is(open.core.backstore.held.length, 0);
    t.is(await client.next(closed ? undefined : 100), undefined);
    t.is(client.closed, closed);
    t.deepEqual(await over(opened), CLEAN);
  });
}

test('TARGET COLD RESET is answered, and then all sessions end', async (t) => {
  const opened = await session();
  const { open, client } = opened;
  const other = await IscsiClient.open(open.port);
  await other.login({ target: TEST_IQN, isid: 0x800000_000002 });
  client.send(client.request(InitiatorOpcode.TASK_MANAGEMENT, FINAL | TaskFunction.TARGET_COLD_RESET, true));
  const { header } = (await client.next())!;
  t.is(opcodeOf(header), TargetOpcode.TASK_MANAGEMENT_RESPONSE);
  t.is(header[2], 0);
  t.is(await client.next(), undefined);
  t.is(await other.next(), undefined);
  t.true(client.closed && other.closed);
  t.deepEqual(await over(opened, other), CLEAN);
});
