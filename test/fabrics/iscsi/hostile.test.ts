import test from 'ava';
import { HeldBytes } from '../../../src/fabrics/iscsi/held-bytes.ts';
import {
  Bhs,
  CommandFlag,
  InitiatorOpcode,
  TargetOpcode,
  TaskFunction,
} from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { SlabPool } from '../../../src/fabrics/iscsi/output-queue.ts';
import { Pdu } from '../../../src/fabrics/iscsi/pdu.ts';
import { IscsiProtocolError } from '../../../src/fabrics/iscsi/protocol-error.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { IscsiClient } from '../../support/iscsi-client.ts';
import { openPortal, TEST_IQN, type TestPortal } from '../../support/iscsi-portal.ts';

/** A small generator with a seed (mulberry32), so that a failure can be run again. */
function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

const OPCODES = [...Object.values(InitiatorOpcode), 0x07, 0x1c, 0x3f];

function isColdReset(header: Buffer): boolean {
  const task = (header[Bhs.OPCODE] & 0x3f) === InitiatorOpcode.TASK_MANAGEMENT;
  return task && (header[Bhs.FLAGS] & 0x7f) === TaskFunction.TARGET_COLD_RESET;
}

/** Somebody who logs in, then sends PDUs of the right shape with wrong contents. */
async function attack(open: TestPortal, seed: number): Promise<void> {
  const pick = random(seed);
  const client = await IscsiClient.open(open.port);
  if (pick(8) > 0)
    await client.login({ target: TEST_IQN, isid: seed, keys: [['InitialR2T', pick(2) ? 'No' : 'Yes']] });
  for (let i = 0; i < 30 && !client.closed; i++) {
    const header = client.request(OPCODES[pick(OPCODES.length)], pick(256), pick(2) === 0);
    for (let n = pick(6); n > 0; n--) header[8 + pick(40)] = pick(256);
    // A cold reset ends everybody's session, as it should.
    if (isColdReset(header)) header[Bhs.FLAGS] = 0x80;
    if (pick(3) === 0) header.writeUInt32BE(client.cmdSn - 1, Bhs.CMD_SN);
    if (pick(4) === 0) header.writeUInt32BE(pick(4) * 512, Bhs.EXPECTED_LENGTH);
    client.send(header, Buffer.alloc(pick(3) * pick(700), pick(256)));
    if (pick(10) === 0) client.socket.write(Buffer.alloc(pick(100), pick(256)));
  }
  await client.next(20);
  client.close();
}

/** Somebody who behaves, all the while. */
async function bystander(open: TestPortal): Promise<string> {
  const client = await IscsiClient.open(open.port);
  await client.login({ target: TEST_IQN, initiator: 'iqn.2026-01.example:bystander', isid: 0x800000_999999 });
  for (let i = 0; i < 4; i++) {
    client.send(client.command([0x12, 0, 0, 0, 36, 0], 0x80 | CommandFlag.READ, 36));
    const answer = await client.next();
    if (answer?.data.length !== 36)
      return `INQUIRY ${i} got ${answer?.header.toString('hex')} ${answer?.data.toString('hex')}`;
  }
  client.close();
  return 'unharmed';
}

test.serial('wrong PDUs end their own connection at most, and no memory stays behind', async (t) => {
  const open = await openPortal();
  t.teardown(() => open.close());
  for (let round = 0; round < 20; round++) {
    const attacks = Array.from({ length: 20 }, (_, i) => attack(open, round * 20 + i + 1));
    t.is(await bystander(open), 'unharmed', `round ${round}`);
    await Promise.all(attacks);
  }
  await open.close();
  t.is(open.core.environment.memory.outstanding, 0);
});

test.serial('a PDU that announces 16 MiB before login is refused by its header', async (t) => {
  const open = await openPortal();
  const client = await IscsiClient.open(open.port);
  const header = Buffer.alloc(48);
  header[0] = 0x43;
  header.writeUIntBE(0xffffff, Bhs.DATA_LENGTH, 3);
  client.socket.write(header);
  t.is(await client.next(), undefined);
  t.true(client.closed);
  await open.close();
});

test.serial('data without bytes for a command that waits for its turn has an end', async (t) => {
  const open = await openPortal();
  t.teardown(() => open.close());
  const client = await IscsiClient.open(open.port);
  await client.login({ target: TEST_IQN, keys: [['InitialR2T', 'No']] });
  client.cmdSn++;
  const command = client.command([0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], CommandFlag.WRITE, 512);
  command[Bhs.FLAGS] = CommandFlag.WRITE;
  client.send(command);
  const tag = command.readUInt32BE(Bhs.TASK_TAG);
  const many = Buffer.concat(
    Array.from({ length: 1024 }, (_, i) => client.bytes(client.dataOut(tag, 0xffff_ffff, i, 0, false))),
  );
  // Each is held as 512 bytes, and a session may hold 8 MiB.
  for (let i = 0; i < 17; i++) client.socket.write(many);
  t.is(await client.next(), undefined);
  t.true(client.closed);
  t.is(open.node.held.total, 0);
});

test('what waits in all sessions together is bounded', (t) => {
  const held = new HeldBytes();
  const pdu = new Pdu();
  pdu.dataLength = 1 << 20;
  for (let i = 0; i < 255; i++) held.take(pdu);
  t.throws(() => held.take(pdu), { instanceOf: IscsiProtocolError });
  for (let i = 0; i < 255; i++) held.give(pdu);
  t.is(held.total, 0);
});

test('when much waits to be sent everywhere, nobody may have much of it', (t) => {
  const pool = new SlabPool();
  const slabs = Array.from({ length: 8192 }, () => pool.take());
  t.false(pool.scarce);
  const last = pool.take();
  t.true(pool.scarce);
  for (const slab of [last, ...slabs]) pool.give(slab);
  t.false(pool.scarce);
});

test.serial('an initiator that never reads does not fill memory', async (t) => {
  const open = await openPortal({ byteLength: 8 << 20 });
  const client = await IscsiClient.open(open.port);
  await client.login({ target: TEST_IQN });
  client.socket.pause();
  for (let i = 0; i < 120; i++) {
    client.send(client.command([0x28, 0, 0, 0, 0, 0, 0, 0x20, 0, 0], 0x80 | CommandFlag.READ, 0x2000 * 512));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  // 64 MiB of buffers per session (buffer-budget.ts), each of 4 MiB here, and what all receive into.
  t.true(
    open.core.environment.memory.outstanding <= 18,
    `${open.core.environment.memory.outstanding} buffers`,
  );
  client.close();
  await open.close();
  // What the socket still held comes back when it has told its writers.
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.is(open.core.environment.memory.outstanding, 0);
});

/** Of a SCSI Response. */
const STATUS = 3;
const WRITE = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];

for (const [what, expected, dataOut, status] of [
  ['a WRITE whose command announces no data', 0, false, Status.GOOD],
  ['a Data-Out of no bytes where a block was announced', 512, true, Status.CHECK_CONDITION],
] as const) {
  test.serial(`${what} writes nothing, and harms nobody`, async (t) => {
    const open = await openPortal();
    const client = await IscsiClient.open(open.port);
    await client.login({ target: TEST_IQN });
    await client.ready();
    const written = Buffer.alloc(512, 0x5a);
    client.send(client.command(WRITE, 0x80 | CommandFlag.WRITE, 512), written);
    t.is((await client.next())!.header[STATUS], Status.GOOD);
    const command = client.command(WRITE, 0x80 | CommandFlag.WRITE, expected);
    client.send(command);
    if (dataOut) {
      const { header } = (await client.next())!;
      t.is(header[Bhs.OPCODE], TargetOpcode.R2T);
      const tags = [command.readUInt32BE(Bhs.TASK_TAG), header.readUInt32BE(Bhs.TRANSFER_TAG)] as const;
      client.send(client.dataOut(...tags, 0, 0, true));
    }
    t.is((await client.next())!.header[STATUS], status);
    client.send(client.command([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 0x80 | CommandFlag.READ, 512));
    t.deepEqual(Buffer.from((await client.next())!.data), written);
    client.close();
    t.is(await bystander(open), 'unharmed');
    await open.close();
    t.is(open.core.environment.memory.outstanding, 0);
  });
}
