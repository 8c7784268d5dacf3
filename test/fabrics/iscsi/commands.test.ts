import test from 'ava';
import {
  Bhs,
  CommandFlag,
  InitiatorOpcode,
  NO_TAG,
  TargetOpcode,
  TaskFunction,
} from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { OperationKind } from '../../../src/scsi/backstore.ts';
import { IscsiClient } from '../../support/iscsi-client.ts';
import { openPortal, TEST_IQN, type TestPortal } from '../../support/iscsi-portal.ts';

const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
const write10 = (lba: number, blocks: number) => [0x2a, 0, 0, 0, 0, lba, 0, 0, blocks, 0];
const read10 = (lba: number, blocks: number) => [0x28, 0, 0, 0, 0, lba, 0, 0, blocks, 0];
const FINAL = 0x80;
const opcodeOf = (header: Buffer) => header[0] & 0x3f;

async function session(keys: [string, string][] = []): Promise<{ open: TestPortal; client: IscsiClient }> {
  const open = await openPortal();
  const client = await IscsiClient.open(open.port);
  await client.login({ target: TEST_IQN, keys });
  // The power-on unit attention.
  client.send(client.command(TEST_UNIT_READY, FINAL, 0));
  await client.next();
  return { open, client };
}

test('a write without immediate data is asked for by R2T, burst by burst', async (t) => {
  const { open, client } = await session([
    ['MaxBurstLength', '1024'],
    ['FirstBurstLength', '512'],
  ]);
  const data = Buffer.from(Uint8Array.from({ length: 2048 }, (_, i) => i * 3));
  const command = client.command(write10(0, 4), FINAL | CommandFlag.WRITE, 2048);
  client.send(command);
  const tag = command.readUInt32BE(Bhs.TASK_TAG);
  for (const offset of [0, 1024]) {
    const { header } = (await client.next())!;
    t.is(opcodeOf(header), TargetOpcode.R2T);
    t.is(header.readUInt32BE(Bhs.BUFFER_OFFSET), offset);
    t.is(header.readUInt32BE(Bhs.DESIRED_LENGTH), 1024);
    const transfer = header.readUInt32BE(Bhs.TRANSFER_TAG);
    client.send(client.dataOut(tag, transfer, 0, offset, false), data.subarray(offset, offset + 512));
    client.send(
      client.dataOut(tag, transfer, 1, offset + 512, true),
      data.subarray(offset + 512, offset + 1024),
    );
  }
  const { header } = (await client.next())!;
  t.is(opcodeOf(header), TargetOpcode.SCSI_RESPONSE);
  t.is(header[3], 0);
  t.deepEqual(Buffer.from(open.core.backstore.bytes.subarray(0, 2048)), data);
  client.close();
  await open.close();
  t.is(open.core.environment.memory.outstanding, 0);
});

test('the data of writes that came together stays theirs while they run, whatever comes behind', async (t) => {
  const { open, client } = await session();
  const { backstore } = open.core;
  backstore.hold = true;
  // More buffers than writes may keep, so that some are copied; several writes in most of them.
  const count = 100;
  const data = (i: number) => Buffer.alloc(512, i + 1);
  for (let i = 0; i < count; i++) {
    client.send(client.command(write10(i, 1), FINAL | CommandFlag.WRITE, 512), data(i));
    if (i % 3 === 0) while (backstore.held.length <= i) await new Promise((resolve) => setImmediate(resolve));
  }
  while (backstore.held.length < count) await new Promise((resolve) => setImmediate(resolve));
  backstore.hold = false;
  backstore.releaseHeld();
  for (let i = 0; i < count; i++) t.is((await client.next())?.header[3], 0);
  for (let i = 0; i < count; i++)
    t.deepEqual(Buffer.from(backstore.bytes.subarray(512 * i, 512 * (i + 1))), data(i), `block ${i}`);
  client.close();
  await open.close();
  t.is(open.core.environment.memory.outstanding, 0);
});

test('immediate and unsolicited data come without R2T where agreed', async (t) => {
  const { open, client } = await session([
    ['InitialR2T', 'No'],
    ['FirstBurstLength', '1024'],
  ]);
  const data = Buffer.alloc(1024, 0x5a);
  const command = client.command(write10(0, 2), CommandFlag.WRITE, 1024);
  client.send(command, data.subarray(0, 512));
  client.send(client.dataOut(command.readUInt32BE(Bhs.TASK_TAG), NO_TAG, 0, 512, true), data.subarray(512));
  const { header } = (await client.next())!;
  t.is(opcodeOf(header), TargetOpcode.SCSI_RESPONSE);
  t.is(header[3], 0);
  t.deepEqual(Buffer.from(open.core.backstore.bytes.subarray(0, 1024)), data);
  client.close();
  await open.close();
});

test('a read is cut into segments that the initiator takes, with the status in the last one', async (t) => {
  const { open, client } = await session([['MaxRecvDataSegmentLength', '512']]);
  open.core.backstore.bytes.fill(0x77, 0, 1024);
  client.send(client.command(read10(0, 2), FINAL | CommandFlag.READ, 2048));
  const first = (await client.next())!;
  const second = (await client.next())!;
  t.deepEqual([first.data.length, second.data.length], [512, 512]);
  t.is(first.header[1] & 0x81, 0);
  // Final, with status, and 1024 bytes fewer than expected.
  t.is(second.header[1], 0x83);
  t.is(second.header.readUInt32BE(Bhs.RESIDUAL), 1024);
  t.is(second.header.readUInt32BE(Bhs.DATA_SN), 1);
  client.close();
  await open.close();
});

test('a DataSN out of order fails the command and nothing is written', async (t) => {
  const { open, client } = await session([['ImmediateData', 'No']]);
  const command = client.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512);
  client.send(command);
  const r2t = (await client.next())!;
  const tag = command.readUInt32BE(Bhs.TASK_TAG);
  client.send(
    client.dataOut(tag, r2t.header.readUInt32BE(Bhs.TRANSFER_TAG), 5, 0, true),
    Buffer.alloc(512, 1),
  );
  const { header, data } = (await client.next())!;
  t.is(header[3], 0x02);
  t.is(data[4], 0x0b);
  t.is(open.core.backstore.log.filter((entry) => entry.kind === OperationKind.WRITE).length, 0);
  client.close();
  await open.close();
});

test('a CmdSN outside the window is ignored, one ahead of its turn waits', async (t) => {
  const { open, client } = await session();
  const far = client.command(TEST_UNIT_READY, FINAL, 0);
  far.writeUInt32BE((client.cmdSn + 5000) >>> 0, Bhs.CMD_SN);
  client.send(far);
  client.cmdSn--;
  const first = client.command(TEST_UNIT_READY, FINAL, 0);
  const second = client.command(TEST_UNIT_READY, FINAL, 0);
  client.send(second);
  t.is(await client.next(200), undefined);
  client.send(first);
  const tags = [(await client.next())!, (await client.next())!].map((pdu) =>
    pdu.header.readUInt32BE(Bhs.TASK_TAG),
  );
  t.deepEqual(tags, [first.readUInt32BE(Bhs.TASK_TAG), second.readUInt32BE(Bhs.TASK_TAG)]);
  client.close();
  await open.close();
});

test('ABORT TASK ends a running read without a status, and is answered after it', async (t) => {
  const { open, client } = await session();
  open.core.backstore.hold = true;
  const command = client.command(read10(0, 1), FINAL | CommandFlag.READ, 512);
  client.send(command);
  const abort = client.request(InitiatorOpcode.TASK_MANAGEMENT, FINAL | TaskFunction.ABORT_TASK, true);
  command.copy(abort, Bhs.REFERENCED_TAG, Bhs.TASK_TAG, Bhs.TASK_TAG + 4);
  client.send(abort);
  const { header } = (await client.next())!;
  t.is(opcodeOf(header), TargetOpcode.TASK_MANAGEMENT_RESPONSE);
  t.is(header[2], 0);
  client.close();
  await open.close();
  t.is(open.core.environment.memory.outstanding, 0);
});

test('a connection that dies under a running write gives every buffer back', async (t) => {
  const { open, client } = await session();
  open.core.backstore.hold = true;
  client.send(client.command(write10(0, 1), FINAL | CommandFlag.WRITE, 512), Buffer.alloc(512));
  client.send(client.command(write10(1, 2), FINAL | CommandFlag.WRITE, 1024));
  await client.next(300);
  client.close();
  await open.close();
  t.is(open.core.environment.memory.outstanding, 0);
});

test('NOP-Out comes back with its data', async (t) => {
  const { open, client } = await session();
  const request = client.request(InitiatorOpcode.NOP_OUT, FINAL);
  request.writeUInt32BE(NO_TAG, Bhs.TRANSFER_TAG);
  client.send(request, Buffer.from('ping'));
  const { header, data } = (await client.next())!;
  t.is(opcodeOf(header), TargetOpcode.NOP_IN);
  t.is(data.toString(), 'ping');
  client.close();
  await open.close();
});
