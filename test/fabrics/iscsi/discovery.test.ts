import test from 'ava';
import {
  Bhs,
  InitiatorOpcode,
  LoginStatus,
  NO_TAG,
  RejectReason,
  TargetOpcode,
} from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { parseText } from '../../../src/fabrics/iscsi/text.ts';
import { IscsiClient } from '../../support/iscsi-client.ts';
import { chapLogin } from '../../support/iscsi-commands.ts';
import { openPortal, TEST_IQN } from '../../support/iscsi-portal.ts';

const FINAL = 0x80;
const CONTINUE = 0x40;

/** A Text Request; `transferTag` goes on with an earlier one. */
function textRequest(client: IscsiClient, flags: number, transferTag: number = NO_TAG): Buffer {
  const request = client.request(InitiatorOpcode.TEXT, flags);
  request.writeUInt32BE(transferTag, Bhs.TRANSFER_TAG);
  return request;
}

/** Sends `text` and takes the whole answer, over as many PDUs as it has. */
async function ask(client: IscsiClient, text: string): Promise<{ text: Buffer; pdus: number }> {
  client.send(textRequest(client, FINAL), Buffer.from(text));
  const parts: Buffer[] = [];
  for (;;) {
    const { header, data } = (await client.next())!;
    parts.push(Buffer.from(data));
    if ((header[Bhs.FLAGS] & FINAL) !== 0) return { text: Buffer.concat(parts), pdus: parts.length };
    client.send(textRequest(client, FINAL, header.readUInt32BE(Bhs.TRANSFER_TAG)));
  }
}

test('SendTargets names every portal with its group, in as many PDUs as the initiator takes', async (t) => {
  const open = await openPortal();
  const ports = [open.port];
  for (let tag = 2; tag < 40; tag++) ports.push(await open.addPortal(tag));
  const client = await IscsiClient.open(ports[2]);
  await client.login({ keys: [['MaxRecvDataSegmentLength', '512']] });
  const { text, pdus } = await ask(client, 'SendTargets=All\0');
  t.true(pdus > 1);
  const lines = text
    .toString()
    .split('\0')
    .filter((line) => line !== '');
  t.is(lines[0], `TargetName=${TEST_IQN}`);
  // The portal that was asked comes first.
  t.is(lines[1], `TargetAddress=127.0.0.1:${ports[2]},3`);
  const expected = ports.map((port, i) => `TargetAddress=127.0.0.1:${port},${i + 1}`);
  t.deepEqual(lines.slice(1).sort(), expected.sort());
  client.close();
  await open.close();
});

test('an IPv6 portal and one on every address are named as the initiator reaches them', async (t) => {
  const open = await openPortal();
  const six = await open.addPortal(2, '::1');
  const every = await open.addPortal(3, '0.0.0.0');
  for (const [port, host, everywhere] of [
    [six, '::1', []],
    [open.port, '127.0.0.1', [`TargetAddress=127.0.0.1:${every},3`]],
  ] as const) {
    const client = await IscsiClient.open(port, host);
    await client.login();
    const { text } = await ask(client, 'SendTargets=All\0');
    const lines = text
      .toString()
      .split('\0')
      .filter((line) => line.startsWith('TargetAddress'));
    const expected = [
      `TargetAddress=127.0.0.1:${open.port},1`,
      `TargetAddress=[::1]:${six},2`,
      ...everywhere,
    ];
    t.deepEqual(lines.sort(), expected.sort());
    client.close();
  }
  await open.close();
});

test('a text request may come in pieces', async (t) => {
  const open = await openPortal();
  const client = await IscsiClient.open(open.port);
  await client.login();
  client.send(textRequest(client, CONTINUE), Buffer.from('SendTar'));
  const { header } = (await client.next())!;
  t.is(header[Bhs.FLAGS], 0);
  client.send(textRequest(client, FINAL, header.readUInt32BE(Bhs.TRANSFER_TAG)), Buffer.from('gets=All\0'));
  const answer = (await client.next())!;
  t.is(answer.header[Bhs.FLAGS], FINAL);
  t.is(parseText(answer.data).get('TargetName'), TEST_IQN);
  client.close();
  await open.close();
});

test('a transfer tag that we did not give is rejected', async (t) => {
  const open = await openPortal();
  const client = await IscsiClient.open(open.port);
  await client.login();
  client.send(textRequest(client, FINAL, 77), Buffer.from('SendTargets=All\0'));
  const { header } = (await client.next())!;
  t.is(header[0], TargetOpcode.REJECT);
  t.is(header[2], RejectReason.INVALID_PDU_FIELD);
  client.close();
  await open.close();
});

const questions: [text: string, answer: [string, string][]][] = [
  ['MaxRecvDataSegmentLength=1024\0', []],
  [
    'MaxRecvDataSegmentLength=1024\0X-other=1\0MaxBurstLength=512\0',
    [
      ['X-other', 'NotUnderstood'],
      ['MaxBurstLength', 'Reject'],
    ],
  ],
];
for (const [text, answer] of questions) {
  test(`${text.replaceAll('\0', ' ')}is answered ${JSON.stringify(answer)}`, async (t) => {
    const open = await openPortal();
    const client = await IscsiClient.open(open.port);
    await client.login();
    t.deepEqual([...parseText((await ask(client, text)).text)], answer);
    client.close();
    await open.close();
  });
}

const failures = [
  'SendTargets=Alle',
  'SendTargets=iqn.2026-01.example:nobody',
  'sENDtARGETS=aLL',
  'MaxBurstLength=512',
  'hasOwnProperty=1',
];
for (const text of failures) {
  test(`${text} alone is rejected`, async (t) => {
    const open = await openPortal();
    const client = await IscsiClient.open(open.port);
    await client.login();
    client.send(textRequest(client, FINAL), Buffer.from(`${text}\0`));
    const { header } = (await client.next())!;
    t.is(header[0], TargetOpcode.REJECT);
    t.is(header[2], RejectReason.PROTOCOL_ERROR);
    client.close();
    await open.close();
  });
}

test('nothing more may be asked while an answer is under way', async (t) => {
  const open = await openPortal();
  t.teardown(() => open.close());
  for (let tag = 2; tag < 40; tag++) await open.addPortal(tag);
  const client = await IscsiClient.open(open.port);
  await client.login({ keys: [['MaxRecvDataSegmentLength', '512']] });
  client.send(textRequest(client, FINAL), Buffer.from('SendTargets=All\0'));
  const { header } = (await client.next())!;
  client.send(
    textRequest(client, FINAL, header.readUInt32BE(Bhs.TRANSFER_TAG)),
    Buffer.from('SendTargets=All\0'),
  );
  t.is(await client.next(), undefined);
  t.true(client.closed);
});

test('a discovery session is not pinged, and ends when it stays silent', async (t) => {
  const open = await openPortal({ pingInterval: 40 });
  t.teardown(() => open.close());
  const client = await IscsiClient.open(open.port);
  await client.login();
  t.is(await client.next(), undefined);
  t.true(client.closed);
});

test('discovery may have a secret of its own', async (t) => {
  const open = await openPortal();
  open.node.discoveryAccess = { admits: () => true, credentials: () => ({ user: 'u', secret: 's' }) };
  const client = await IscsiClient.open(open.port);
  t.is(IscsiClient.status(await client.login()), LoginStatus.AUTHENTICATION_FAILURE);
  const proved = await IscsiClient.open(open.port);
  const initiator = 'iqn.2026-01.example.initiator:a';
  t.is((await chapLogin(proved, { initiator, user: 'u', secret: 's' })).status, LoginStatus.SUCCESS);
  t.regex((await ask(proved, 'SendTargets=All\0')).text.toString(), /TargetAddress/);
  proved.close();
  const other = await IscsiClient.open(open.port);
  t.is(IscsiClient.status(await other.login({ target: TEST_IQN })), LoginStatus.SUCCESS);
  other.close();
  await open.close();
});

test('who may not use a target does not hear of it', async (t) => {
  const open = await openPortal({ access: { admits: () => false, credentials: () => undefined } });
  const client = await IscsiClient.open(open.port);
  await client.login();
  t.is((await ask(client, 'SendTargets=All\0')).text.length, 0);
  client.close();
  await open.close();
});
