import test from 'ava';
import { putU16, putU32, putU64 } from '../../src/scsi/bytes.ts';
import { crcT10Dif } from '../../src/scsi/crc-t10-dif.ts';
import { execute } from '../../src/scsi/device-server.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { Task } from '../../src/scsi/task.ts';
import { cdb10, cdb16, outcome, pattern } from '../support/block-cdbs.ts';
import { Core, TestStore } from '../support/core.ts';
import { guardOf, interleave, type Tags } from '../support/protection.ts';

const protect = (value: number) => value << 5;

function formatted(type: number): Core {
  return new Core({ protection: true, attributes: { pi_prot_type: type } });
}

function cdb32(
  serviceAction: number,
  lba: number,
  blocks: number,
  flags: number,
  tags: number[],
): Uint8Array {
  const cdb = new Uint8Array(32);
  cdb.set([0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, serviceAction, flags]);
  putU64(cdb, 12, lba);
  putU32(cdb, 20, tags[0]);
  putU16(cdb, 24, tags[1]);
  putU16(cdb, 26, tags[2]);
  putU32(cdb, 28, blocks);
  return cdb;
}

test('the guard is the CRC of SBC-3', (t) => {
  t.is(crcT10Dif(new Uint8Array(32), 0, 32), 0x0000);
  t.is(crcT10Dif(new Uint8Array(32).fill(0xff), 0, 32), 0xa293);
  t.is(
    crcT10Dif(
      Uint8Array.from({ length: 32 }, (_, i) => i),
      0,
      32,
    ),
    0x0224,
  );
  t.is(crcT10Dif(Uint8Array.from([0xff, 0xff, ...new Uint8Array(30)]), 0, 32), 0x21b8);
  t.is(crcT10Dif(pattern(520, 3), 8, 512), guardOf(pattern(520, 3).subarray(8)));
});

for (const type of [1, 3]) {
  test(`type ${type}: what was written with protection information comes back with it`, async (t) => {
    const core = formatted(type);
    const sent = interleave(pattern(3 * 512, 1), { application: 0x1234, reference: 70 });
    const written = await core.initiator.send({ cdb: cdb16(0x8a, 70, 3, protect(1)), dataOut: sent });
    t.is(outcome(written), 'GOOD');
    t.is(written.residual, 0);
    t.deepEqual(core.backstore.bytes.slice(70 * 512, 73 * 512), pattern(3 * 512, 1));
    const read = await core.initiator.send({
      cdb: cdb10(0x28, 70, 3, protect(1)),
      dataInLength: 3 * 520,
    });
    t.is(outcome(read), 'GOOD');
    t.deepEqual(read.dataIn, sent);
    const plain = await core.initiator.send({ cdb: cdb10(0x28, 70, 3), dataInLength: 3 * 512 });
    t.deepEqual(plain.dataIn, pattern(3 * 512, 1));
    t.is(core.environment.memory.outstanding, 0);
    t.is(core.disk.rangeLocks.held, 0);
  });
}

test('what was written without is given its protection information by the unit', async (t) => {
  const core = formatted(1);
  const data = pattern(2 * 512, 1);
  await core.initiator.send({ cdb: cdb10(0x2a, 9, 2), dataOut: data });
  const { dataIn } = await core.initiator.send({ cdb: cdb10(0x28, 9, 2, protect(1)), dataInLength: 1040 });
  t.deepEqual(dataIn, interleave(data, { reference: 9 }));
});

test('blocks never written, and unmapped ones, have nothing to check', async (t) => {
  const core = formatted(1);
  await core.initiator.send({ cdb: cdb10(0x2a, 5, 1), dataOut: pattern(512, 1) });
  const list = new Uint8Array(24);
  list.set([0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1]);
  await core.initiator.send({ cdb: [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  const read = await core.initiator.send({ cdb: cdb10(0x28, 4, 2, protect(1)), dataInLength: 1040 });
  t.is(outcome(read), 'GOOD');
  t.deepEqual([...read.dataIn.slice(512, 520), ...read.dataIn.slice(1032)], new Array(16).fill(0xff));
});

/** WRPROTECT, type, tags that are sent for LBA 4, and what WRITE(10) says. */
const writes: [number, number, Tags, string][] = [
  [1, 1, { reference: 4 }, 'GOOD'],
  [1, 1, { guard: 0, reference: 4 }, 'b/10/01 i4'],
  [1, 1, { reference: 5 }, 'b/10/03 i4'],
  [2, 1, { guard: 0, reference: 4 }, 'GOOD'],
  [2, 1, { reference: 5 }, 'b/10/03 i4'],
  [3, 1, { guard: 0, reference: 5 }, 'GOOD'],
  [4, 1, { reference: 5 }, 'GOOD'],
  [4, 1, { guard: 0, reference: 4 }, 'b/10/01 i4'],
  [5, 1, { guard: 0, reference: 4 }, 'b/10/01 i4'],
  [5, 1, { reference: 5 }, 'b/10/03 i4'],
  [6, 1, { reference: 4 }, '5/24/00@1.7'],
  [7, 1, { reference: 4 }, '5/24/00@1.7'],
  [1, 3, { reference: 99 }, 'GOOD'],
  [1, 3, { guard: 0, reference: 4 }, 'b/10/01 i4'],
  [1, 2, { reference: 4 }, '5/20/00@0'],
];
for (const [value, type, tags, expected] of writes) {
  test(`WRPROTECT ${value}, type ${type}, ${JSON.stringify(tags)}: ${expected}`, async (t) => {
    const core = formatted(type);
    const dataOut = interleave(pattern(512, 1), tags);
    t.is(outcome(await core.initiator.send({ cdb: cdb10(0x2a, 4, 1, protect(value)), dataOut })), expected);
    if (expected !== 'GOOD') t.is(core.backstore.log.length, 0);
    t.is(core.environment.memory.outstanding, 0);
  });
}

/** RDPROTECT, type, tags on the medium at LBA 4, and what READ(10) and VERIFY(10) say. */
const reads: [number, number, Tags, string][] = [
  [0, 1, { reference: 4 }, 'GOOD'],
  [0, 1, { guard: 1, reference: 4 }, 'b/10/01 i4'],
  [0, 1, { reference: 5 }, 'b/10/03 i4'],
  [1, 1, { guard: 1, reference: 4 }, 'b/10/01 i4'],
  [1, 1, { guard: 1, application: 0xffff, reference: 5 }, 'GOOD'],
  [2, 1, { guard: 1, reference: 4 }, 'GOOD'],
  [2, 1, { guard: 1, reference: 5 }, 'b/10/03 i4'],
  [3, 1, { guard: 1, reference: 5 }, 'GOOD'],
  [4, 1, { reference: 5 }, 'GOOD'],
  [4, 1, { guard: 1, reference: 4 }, 'b/10/01 i4'],
  [5, 1, { reference: 5 }, 'b/10/03 i4'],
  [0, 2, { guard: 1, reference: 4 }, 'b/10/01 i4'],
  [0, 2, { reference: 5 }, 'GOOD'],
  [0, 3, { guard: 1, application: 0xffff, reference: 4 }, 'b/10/01 i4'],
  [0, 3, { guard: 1, application: 0xffff, reference: 0xffff_ffff }, 'GOOD'],
  [1, 3, { reference: 4 }, 'GOOD'],
];
for (const [value, type, tags, expected] of reads) {
  test(`RDPROTECT ${value}, type ${type}, on the medium ${JSON.stringify(tags)}: ${expected}`, async (t) => {
    const core = formatted(type);
    const blocks = interleave(pattern(512, 1), tags);
    core.backstore.bytes.set(blocks.subarray(0, 512), 4 * 512);
    core.protection!.bytes.set(
      blocks.subarray(512).map((byte) => ~byte),
      4 * 8,
    );
    const read = { cdb: cdb10(0x28, 4, 1, protect(value)), dataInLength: 520 };
    t.is(outcome(await core.initiator.send(read)), expected);
    t.is(outcome(await core.initiator.send({ cdb: cdb10(0x2f, 4, 1, protect(value)) })), expected);
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('type 2: the 32-byte commands say which tags to expect', async (t) => {
  const core = formatted(2);
  const tags = { application: 0xab12, reference: 0xffff_fffe };
  const dataOut = interleave(pattern(4 * 512, 1), tags);
  const expected = [0xffff_fffe, 0xab34, 0xff00];
  const WRITE_32 = 0x0b;
  const READ_32 = 0x09;
  const write = (expectation: number[]) =>
    core.initiator.send({ cdb: cdb32(WRITE_32, 30, 4, protect(1), expectation), dataOut });
  t.is(outcome(await write([5, 0xab34, 0xff00])), 'b/10/03 i30');
  t.is(outcome(await write([0xffff_fffe, 0xab34, 0xffff])), 'b/10/02 i30');
  t.is(outcome(await write(expected)), 'GOOD');
  const read = (expectation: number[], blocks = 4, lba = 30) =>
    core.initiator.send({ cdb: cdb32(READ_32, lba, blocks, protect(1), expectation), dataInLength: 4 * 520 });
  t.deepEqual((await read(expected)).dataIn, dataOut);
  t.is(outcome(await read([0, 0xab34, 0xff00])), 'b/10/03 i30');
  t.is(outcome(await read([0, 0, 0], 2, 32)), 'GOOD');
  const VERIFY_32 = 0x0a;
  const compare = cdb32(VERIFY_32, 30, 4, protect(1) | 0x02, expected);
  t.is(outcome(await core.initiator.send({ cdb: compare, dataOut })), 'GOOD');
  dataOut[2 * 520 + 100] ^= 1;
  t.is(outcome(await core.initiator.send({ cdb: compare, dataOut })), 'b/10/01 i32');
});

test('type 2: WRITE SAME(32) counts its reference tags up, WRITE AND VERIFY(32) reads back', async (t) => {
  const core = formatted(2);
  const one = interleave(pattern(512, 1), { application: 7, reference: 1000 });
  const WRITE_SAME_32 = 0x0d;
  const WRITE_AND_VERIFY_32 = 0x0c;
  const same = cdb32(WRITE_SAME_32, 10, 1500, protect(1), [1000, 7, 0xffff]);
  t.is(outcome(await core.initiator.send({ cdb: same, dataOut: one })), 'GOOD');
  const read = cdb32(0x09, 1500, 1, protect(1), [2490, 7, 0xffff]);
  const { dataIn } = await core.initiator.send({ cdb: read, dataInLength: 520 });
  t.deepEqual(dataIn, interleave(pattern(512, 1), { application: 7, reference: 2490 }));
  const verify = cdb32(WRITE_AND_VERIFY_32, 10, 1, protect(1) | 0x02, [1000, 7, 0xffff]);
  t.is(outcome(await core.initiator.send({ cdb: verify, dataOut: one })), 'GOOD');
});

test('the 32-byte commands need type 2', async (t) => {
  for (const core of [new Core(), formatted(1), formatted(3)]) {
    for (const serviceAction of [0x09, 0x0a, 0x0b, 0x0c, 0x0d]) {
      const cdb = cdb32(serviceAction, 0, 0, 0, [0, 0, 0]);
      t.is(outcome(await core.initiator.send({ cdb })), '5/20/00@0');
    }
  }
});

const compounds: [string, (protectBits: number) => ArrayLike<number>, number][] = [
  ['COMPARE AND WRITE', (p) => [0x89, p, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0], 4],
  ['ORWRITE', (p) => cdb16(0x8b, 8, 2, p), 2],
  ['WRITE AND VERIFY', (p) => cdb10(0x2e, 8, 2, p | 0x02), 2],
  ['WRITE SAME', (p) => cdb10(0x41, 8, 2, p), 1],
];
for (const [name, cdb, blocks] of compounds) {
  test(`${name} takes protection information, checks it, and leaves the medium consistent`, async (t) => {
    const core = formatted(1);
    const data = new Uint8Array(blocks * 512);
    if (name === 'COMPARE AND WRITE') {
      await core.initiator.send({ cdb: cdb10(0x2a, 8, 2), dataOut: new Uint8Array(1024) });
      data.set(pattern(1024, 1), 1024);
    } else {
      data.set(pattern(data.length, 1));
    }
    const sent = interleave(data, { reference: 8 });
    // The second half of COMPARE AND WRITE is for the same LBAs as the first.
    if (name === 'COMPARE AND WRITE') sent.set(interleave(data.subarray(1024), { reference: 8 }), 1040);
    const wrong = sent.slice();
    wrong[wrong.length - 8] ^= 1;
    const refused = await core.initiator.send({ cdb: cdb(protect(1)), dataOut: wrong });
    t.is(outcome(refused).slice(0, 7), 'b/10/01');
    t.is(outcome(await core.initiator.send({ cdb: cdb(protect(1)), dataOut: sent })), 'GOOD');
    t.is(
      outcome(await core.initiator.send({ cdb: cdb(0), dataOut: data.fill(0) })).slice(0, 1),
      name === 'COMPARE AND WRITE' ? 'e' : 'G',
    );
    t.is(outcome(await core.initiator.send({ cdb: cdb10(0x2f, 0, 100, protect(1)) })), 'GOOD');
    t.is(core.environment.memory.outstanding, 0);
    t.is(core.disk.rangeLocks.held, 0);
  });
}

test('a buffer with room for fewer blocks gets whole blocks with their protection information', async (t) => {
  const core = formatted(1);
  await core.initiator.send({ cdb: cdb10(0x2a, 0, 2), dataOut: pattern(1024, 1) });
  const read = await core.initiator.send({ cdb: cdb10(0x28, 0, 2, protect(1)), dataInLength: 1000 });
  t.is(read.transferred, 520);
  t.is(read.residual, 1000 - 1040);
});

test('FORMAT UNIT turns protection on and off, READ CAPACITY tells, and a restart remembers', async (t) => {
  const store = new TestStore();
  const core = new Core({ protection: true, store });
  const other = core.connect('naa.5000000000000002');
  const capacity = async (from: Core) => {
    const cdb = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    return (await from.initiator.send({ cdb, dataInLength: 32 })).dataIn[12];
  };
  const formats: [number, number, number | string][] = [
    [0x80, 0, 0x01],
    [0xc0, 0, 0x03],
    [0xc0, 1, 0x05],
    [0x40, 0, '5/24/00@1.7'],
    [0xc0, 2, '5/26/00#0.2'],
    [0x80, 1, '5/26/00#0.2'],
    [0x00, 0, 0x00],
  ];
  t.is(await capacity(core), 0);
  for (const [information, usage, expected] of formats) {
    const result = await core.initiator.send({
      cdb: [0x04, information | 0x10, 0, 0, 0, 0],
      dataOut: Uint8Array.of(usage, 0, 0, 0),
    });
    if (typeof expected === 'string') {
      t.is(outcome(result), expected);
      continue;
    }
    t.is(outcome(result), 'GOOD');
    t.is(await capacity(core), expected);
    t.is(await capacity(new Core({ protection: true, store })), expected);
    t.is(outcome(await other.send({ cdb: [0, 0, 0, 0, 0, 0] })), '6/2a/09');
    t.is(outcome(await core.initiator.send({ cdb: cdb10(0x2f, 0, 2048) })), 'GOOD');
  }
});

test('a unit without a place for it knows no protection information', async (t) => {
  const core = new Core({ attributes: { pi_prot_type: 1 } });
  t.is(core.disk.protection.type, 0);
  t.is(outcome(await core.initiator.send({ cdb: [0x04, 0x80, 0, 0, 0, 0] })), '5/24/00@1.7');
});

test('SANITIZE keeps the type and leaves nothing to check', async (t) => {
  const core = formatted(1);
  await core.initiator.send({ cdb: cdb10(0x2a, 0, 2), dataOut: pattern(1024, 1) });
  const list = Uint8Array.of(1, 0, 0, 1, 0x77);
  const sanitize = { cdb: [0x48, 0x01, 0, 0, 0, 0, 0, 0, 5, 0], dataOut: list };
  t.is(outcome(await core.initiator.send(sanitize)), 'GOOD');
  t.is(core.disk.protection.type, 1);
  const read = await core.initiator.send({ cdb: cdb10(0x28, 0, 1, protect(1)), dataInLength: 520 });
  t.deepEqual(
    read.dataIn,
    Uint8Array.from({ length: 520 }, (_, i) => (i < 512 ? 0x77 : 0xff)),
  );
});

test('WRITE SAME with protection information of all ones writes just that', async (t) => {
  const core = formatted(1);
  const one = new Uint8Array(520).fill(0xff);
  one.fill(3, 0, 512);
  const same = cdb10(0x41, 20, 3, protect(1));
  t.is(outcome(await core.initiator.send({ cdb: same, dataOut: one })), 'GOOD');
  const read = await core.initiator.send({ cdb: cdb10(0x28, 22, 1, protect(1)), dataInLength: 520 });
  t.deepEqual(read.dataIn, one);
});

test('a transport that keeps protection information apart gets it and gives it apart', async (t) => {
  const core = formatted(1);
  const { memory } = core.environment;
  const data = pattern(1024, 1);
  const sent = interleave(data, { application: 5, reference: 40 });
  const tuples = Uint8Array.from([...sent.subarray(512, 520), ...sent.subarray(1032)]);
  const dataBuffer = memory.allocate(1024);
  const tupleBuffer = memory.allocate(16);
  const run = (cdb: Uint8Array, out: boolean) =>
    new Promise<Task>((resolve) => {
      const task = new Task({ taskDone: resolve });
      task.nexus = core.initiator.nexus;
      task.cdb.set(cdb);
      task.cdbLength = cdb.length;
      (out ? task.dataOut : task.dataIn).add(dataBuffer.region, dataBuffer.offset, 1024);
      (out ? task.protectionOut : task.protectionIn).add(tupleBuffer.region, tupleBuffer.offset, 16);
      execute(task, core.environment);
    });
  dataBuffer.bytes.set(data);
  tupleBuffer.bytes.set(tuples);
  const written = await run(cdb10(0x2a, 40, 2, protect(1)), true);
  t.is(written.status, Status.GOOD);
  t.is(written.transferred, 1024);
  dataBuffer.bytes.fill(0);
  tupleBuffer.bytes.fill(0);
  t.is((await run(cdb10(0x28, 40, 2, protect(1)), false)).status, Status.GOOD);
  t.deepEqual(dataBuffer.bytes.slice(0, 1024), data);
  t.deepEqual(tupleBuffer.bytes.slice(0, 16), tuples);
});
