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
  RejectReason,
  TargetOpcode,
  TaskFunction,
} from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { IscsiClient, type LoginOptions } from '../../support/iscsi-client.ts';
import { openPortal, TEST_IQN, type TestPortal, type TestPortalOptions } from '../../support/iscsi-portal.ts';

const FINAL = 0x80;
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
const write10 = (lba: number, blocks: number) => [0x2a, 0, 0, 0, 0, lba, 0, 0, blocks, 0];
const opcodeOf = (header: Buffer | undefined) => (header === undefined ? undefined : header[0] & 0x3f);
const tsihOf = (client: { header: Buffer } | undefined) => client!.header.readUInt16BE(Bhs.TSIH);

interface Opened {
  readonly open: TestPortal;
  readonly client: IscsiClient;
  readonly tsih: number;
}

async function session(options: TestPortalOptions = {}, login: LoginOptions = {}): Promise<Opened> {
  const open = await openPortal(options);
  const client = await IscsiClient.open(open.port);
  const tsih = tsihOf(await client.login({ target: TEST_IQN, ...login }));
  await client.ready();
  return { open, client, tsih };
}

/** Ends the test: nothing may have been logged as a defect, and no buffer may be missing. */
async function over(
  { open, client }: Opened,
  ...others: IscsiClient[]
): Promise<{ buffers: number; defects: string[] }> {
  for (const one of [client, ...others]) one.close();
  await open.close();
  return { buffers: open.core.environment.memory.outstanding, defects: open.errors };
}
const CLEAN = { buffers: 0, defects: [] };

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

test('a command whose data digest is wrong is rejected, and may be sent again', async (t) => {
  const keys: [string, string][] = [
    ['HeaderDigest', 'CRC32C'],
    ['DataDigest', 'CRC32C'],
  ];
  const open = await openPortal();
  const client = await IscsiClient.open(open.port);
  await client.login({ target: TEST_IQN, keys });
  client.useDigests();
  await client.ready();
  const command = client.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512);
  const damaged = client.bytes(command, Buffer.alloc(512, 7));
  damaged[100] ^= 1;
  client.socket.write(damaged);
  const reject = (await client.next())!;
  t.is(opcodeOf(reject.header), TargetOpcode.REJECT);
  t.is(reject.header[2], RejectReason.DATA_DIGEST_ERROR);
  t.deepEqual(reject.data, command);
  client.send(command, Buffer.alloc(512, 7));
  t.is((await client.next())!.header[3], 0);
  t.is(open.core.backstore.bytes[511], 7);
  t.deepEqual(await over({ open, client, tsih: 0 }), CLEAN);
});

test('a Data-Out whose digest is wrong fails its command when all data has come', async (t) => {
  const open = await openPortal();
  const client = await IscsiClient.open(open.port);
  const keys: [string, string][] = [
    ['ImmediateData', 'No'],
    ['HeaderDigest', 'CRC32C'],
    ['DataDigest', 'CRC32C'],
  ];
  await client.login({ target: TEST_IQN, keys });
  client.useDigests();
  await client.ready();
  const command = client.command(write10(0, 2), FINAL | CommandFlag.WRITE, 1024);
  client.send(command);
  const transfer = (await client.next())!.header.readUInt32BE(Bhs.TRANSFER_TAG);
  const tag = command.readUInt32BE(Bhs.TASK_TAG);
  const damaged = client.bytes(client.dataOut(tag, transfer, 0, 0, false), Buffer.alloc(512, 7));
  damaged[100] ^= 1;
  client.socket.write(damaged);
  t.is((await client.next())!.header[2], RejectReason.DATA_DIGEST_ERROR);
  client.send(client.dataOut(tag, transfer, 1, 512, true), Buffer.alloc(512, 7));
  const { header, data } = (await client.next())!;
  t.is(header[3], 2);
  t.deepEqual([data[4], data[14], data[15]], [0x0b, 0x47, 0x05]);
  t.is(open.core.backstore.bytes[0], 0);
  t.deepEqual(await over({ open, client, tsih: 0 }), CLEAN);
});

test('a header digest that is wrong ends the connection', async (t) => {
  const open = await openPortal();
  const client = await IscsiClient.open(open.port);
  await client.login({
    target: TEST_IQN,
    keys: [
      ['HeaderDigest', 'CRC32C'],
      ['DataDigest', 'CRC32C'],
    ],
  });
  client.useDigests();
  const bytes = client.bytes(client.command(TEST_UNIT_READY, FINAL, 0));
  bytes[33] ^= 1;
  client.socket.write(bytes);
  t.is(await client.next(), undefined);
  t.true(client.closed);
  t.deepEqual(await over({ open, client, tsih: 0 }), CLEAN);
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
