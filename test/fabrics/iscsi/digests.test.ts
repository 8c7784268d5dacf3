/** Header and data digests (RFC 7143 7.8 and 13.1): what becomes of a PDU whose digest is wrong. */
import test from 'ava';
import { Bhs, CommandFlag, RejectReason, TargetOpcode } from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { IscsiClient } from '../../support/iscsi-client.ts';
import { openPortal, TEST_IQN } from '../../support/iscsi-portal.ts';
import {
  CLEAN,
  FINAL,
  type Opened,
  opcodeOf,
  over,
  TEST_UNIT_READY,
  tsihOf,
  write10,
} from '../../support/iscsi-session.ts';

/** A session whose every PDU has both digests from the login on. */
async function digested(...more: [string, string][]): Promise<Opened> {
  const open = await openPortal();
  const client = await IscsiClient.open(open.port);
  const keys: [string, string][] = [['HeaderDigest', 'CRC32C'], ['DataDigest', 'CRC32C'], ...more];
  const tsih = tsihOf(await client.login({ target: TEST_IQN, keys }));
  client.useDigests();
  await client.ready();
  return { open, client, tsih };
}

test('a command whose data digest is wrong is rejected, and may be sent again', async (t) => {
  const opened = await digested();
  const { open, client } = opened;
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
  t.deepEqual(await over(opened), CLEAN);
});

test('a Data-Out whose digest is wrong fails its command when all data has come', async (t) => {
  const opened = await digested(['ImmediateData', 'No']);
  const { open, client } = opened;
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
  t.deepEqual(await over(opened), CLEAN);
});

test('a header digest that is wrong ends the connection', async (t) => {
  const opened = await digested();
  const { client } = opened;
  const bytes = client.bytes(client.command(TEST_UNIT_READY, FINAL, 0));
  bytes[33] ^= 1;
  client.socket.write(bytes);
  t.is(await client.next(), undefined);
  t.true(client.closed);
  t.deepEqual(await over(opened), CLEAN);
});
