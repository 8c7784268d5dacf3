import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { putU16, u32 } from '../../src/scsi/bytes.ts';
import { DEFAULT_ATTRIBUTES } from '../../src/scsi/device-attributes.ts';
import { Disk } from '../../src/scsi/disk.ts';
import { ArrayBackstore } from '../support/array-backstore.ts';
import { Core, TEST_IDENTITY } from '../support/core.ts';
import { outcome, sendOut, TYPES } from '../support/persistent-reservations.ts';
import {
  information,
  makeToken,
  populateList,
  type Range,
  receiveInformation,
  sendToken,
  writeList,
  zeroToken,
} from '../support/rod-tokens.ts';
import { sameBytes } from '../support/same-bytes.ts';

const POPULATE = 0x10;
const WRITE = 0x11;
const EXTENT = 2 << 20;

/** A second disk at LUN 1, which only the first initiator sees. */
function setUp(blockSize = 512) {
  const core = new Core({ byteLength: EXTENT });
  const backstore = new ArrayBackstore(core.environment.memory, EXTENT);
  const disk = new Disk(core.environment, backstore, {
    identity: { ...TEST_IDENTITY, serial: 'other', naa: TEST_IDENTITY.naa.slice().fill(0xee, 8) },
    attributes: { ...DEFAULT_ATTRIBUTES, block_size: blockSize },
  });
  core.lunMap.add(1, disk);
  core.initiator.nexus.unit(0)!.unitAttentions.clearAll();
  core.initiator.nexus.unit(1)!.unitAttentions.clearAll();
  for (let i = 0; i < EXTENT; i++) core.backstore.bytes[i] = (i >> 9) * 7 + i;
  return { core, initiator: core.initiator, own: core.backstore, other: { disk, backstore } };
}

const use = async (
  { initiator }: ReturnType<typeof setUp>,
  token: Uint8Array,
  ranges: readonly Range[],
  fields: Parameters<typeof writeList>[2] & { lun?: number } = {},
) => outcome(await sendToken(initiator, WRITE, writeList(token, ranges, fields), { lun: fields.lun ?? 0 }));

const blocksOf = (bytes: Uint8Array, lba: number, blocks: number) =>
  bytes.slice(lba * 512, (lba + blocks) * 512);

test('a token carries blocks from several ranges to several others, of another unit', async (t) => {
  const parts = setUp();
  const { own, other, core } = parts;
  const token = await makeToken(parts.initiator, [
    [10, 1500],
    [3, 2],
    [3000, 100],
  ]);
  t.is(
    await use(
      parts,
      token,
      [
        [0, 700],
        [1000, 902],
      ],
      { lun: 1 },
    ),
    'good',
  );
  const row = Buffer.concat([
    blocksOf(own.bytes, 10, 1500),
    blocksOf(own.bytes, 3, 2),
    blocksOf(own.bytes, 3000, 100),
  ]);
  t.true(sameBytes(blocksOf(other.backstore.bytes, 0, 700), row.subarray(0, 700 * 512)));
  t.true(sameBytes(blocksOf(other.backstore.bytes, 1000, 902), row.subarray(700 * 512)));
  t.deepEqual(await information(parts.initiator, { lun: 1 }), {
    serviceAction: WRITE,
    status: 1,
    transferred: 1602,
    senseLength: 0,
    token: undefined,
  });
  t.is(core.environment.memory.outstanding, 0);
});

test('a token is used from an offset, and where it ends the copy ends', async (t) => {
  const parts = setUp();
  const token = await makeToken(parts.initiator, [[0, 10]]);
  t.is(await use(parts, token, [[50, 20]], { offset: 4, lun: 1 }), 'good');
  t.deepEqual(blocksOf(parts.other.backstore.bytes, 50, 6), blocksOf(parts.own.bytes, 4, 6));
  t.true(blocksOf(parts.other.backstore.bytes, 56, 14).every((byte) => byte === 0));
  const told = await information(parts.initiator, { lun: 1 });
  t.is(told.status, 3, 'partial ROD token usage');
  t.is(told.transferred, 6);
  t.is(await use(parts, token, [[50, 20]], { offset: 10, lun: 1 }), '5 2600');
});

test('between block sizes, what does not fill the last block is zeroes', async (t) => {
  const parts = setUp(4096);
  const token = await makeToken(parts.initiator, [
    [1, 3],
    [100, 10],
  ]);
  parts.other.backstore.bytes.fill(0xff);
  t.is(await use(parts, token, [[5, 9]], { lun: 1 }), 'good');
  const row = Buffer.concat([
    blocksOf(parts.own.bytes, 1, 3),
    blocksOf(parts.own.bytes, 100, 10),
    Buffer.alloc(3 * 512),
  ]);
  t.deepEqual(parts.other.backstore.bytes.slice(5 * 4096, 7 * 4096), Uint8Array.from(row));
  t.is(parts.other.backstore.bytes[7 * 4096], 0xff);
  const large = await makeToken(parts.initiator, [[5, 2]], { lun: 1 });
  t.is(await use(parts, large, [[2000, 5]], { offset: 3 }), 'good');
  t.deepEqual(blocksOf(parts.own.bytes, 2000, 5), Uint8Array.from(row.subarray(3 * 512, 8 * 512)));
});

test('the zero token writes zeroes, as many as are wanted', async (t) => {
  const parts = setUp();
  t.is(
    await use(parts, zeroToken(), [
      [5, 1000],
      [2000, 1],
    ]),
    'good',
  );
  t.true(blocksOf(parts.own.bytes, 5, 1000).every((byte) => byte === 0));
  t.true(blocksOf(parts.own.bytes, 2000, 1).every((byte) => byte === 0));
  t.false(blocksOf(parts.own.bytes, 1005, 1).every((byte) => byte === 0));
  t.is((await information(parts.initiator)).transferred, 1001);
});

// A token stands for what was there when it was made, or for nothing.

const CHANGES: { what: string; cdb: number[]; dataOut?: Uint8Array }[] = [
  { what: 'WRITE(10)', cdb: [0x2a, 0, 0, 0, 0, 19, 0, 0, 1, 0], dataOut: new Uint8Array(512) },
  { what: 'WRITE SAME(10)', cdb: [0x41, 0, 0, 0, 0, 0, 0, 0, 40, 0], dataOut: new Uint8Array(512) },
  {
    what: 'UNMAP',
    cdb: [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
    dataOut: Uint8Array.from([0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0]),
  },
];
for (const { what, cdb, dataOut } of CHANGES) {
  test(`${what} to a block of a token revokes it, and to others does not`, async (t) => {
    const parts = setUp();
    const hit = await makeToken(parts.initiator, [[10, 10]]);
    const missed = await makeToken(parts.initiator, [[50, 10]]);
    t.is(outcome(await parts.initiator.send({ cdb, dataOut })), 'good');
    t.is(await use(parts, hit, [[0, 10]], { lun: 1 }), '5 2306');
    t.is(await use(parts, missed, [[0, 10]], { lun: 1 }), 'good');
    const told = await information(parts.initiator, { lun: 1 });
    t.is(told.status, 1);
  });
}

test('a write that is under way when the token is asked for is part of what it stands for', async (t) => {
  const parts = setUp();
  parts.own.hold = true;
  const data = new Uint8Array(512).fill(0xaa);
  const writing = parts.initiator.start({ cdb: [0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0], dataOut: data });
  const making = makeToken(parts.initiator, [[0, 10]]);
  await new Promise((resolve) => setImmediate(resolve));
  parts.own.hold = false;
  parts.own.releaseHeld();
  await writing.result;
  t.is(await use(parts, await making, [[0, 10]], { lun: 1 }), 'good');
  t.deepEqual(blocksOf(parts.other.backstore.bytes, 5, 1), data);
});

test('a write during the copy ends it before anything newer is passed on', async (t) => {
  const parts = setUp();
  const token = await makeToken(parts.initiator, [[0, 2048]]);
  parts.own.hold = true;
  const copying = use(parts, token, [[0, 2048]], { lun: 1 });
  await new Promise((resolve) => setImmediate(resolve));
  const writing = parts.initiator.start({
    cdb: [0x2a, 0, 0, 0, 7, 0, 0, 0, 1, 0],
    dataOut: new Uint8Array(512).fill(0xbb),
  });
  parts.own.hold = false;
  parts.own.releaseHeld();
  t.is(await copying, '5 2306');
  t.is(outcome(await writing.result), 'good');
  t.true(parts.other.backstore.bytes.every((byte) => byte === 0));
  t.deepEqual(
    { ...(await information(parts.initiator, { lun: 1 })), senseLength: 18 },
    { serviceAction: WRITE, status: 2, transferred: 0, senseLength: 18, token: undefined },
  );
});

test('a token ends by disuse, and use keeps it', async (t) => {
  const parts = setUp();
  const token = await makeToken(parts.initiator, [[0, 4]], { timeout: 10 });
  for (let i = 0; i < 3; i++) {
    parts.core.environment.advance(9_000);
    t.is(await use(parts, token, [[8, 4]], { lun: 1 }), 'good');
  }
  parts.core.environment.advance(11_000);
  t.is(await use(parts, token, [[8, 4]], { lun: 1 }), '5 2307');
  t.false(parts.core.disk.tokens.live);
});

test('DEL_TKN ends a token after its use', async (t) => {
  const parts = setUp();
  const token = await makeToken(parts.initiator, [[0, 4]]);
  t.is(await use(parts, token, [[8, 4]], { lun: 1, deleteToken: true }), 'good');
  t.is(await use(parts, token, [[8, 4]], { lun: 1 }), '5 2309');
  t.false(parts.core.disk.tokens.live);
});

test('the oldest of too many tokens is forgotten', async (t) => {
  const parts = setUp();
  const first = await makeToken(parts.initiator, [[0, 4]]);
  for (let i = 0; i < 64; i++) await makeToken(parts.initiator, [[0, 4]]);
  t.is(await use(parts, first, [[8, 4]], { lun: 1 }), '5 2304');
});

// Who may use it.

test('a token gives nobody more than he could read', async (t) => {
  const parts = setUp();
  const token = await makeToken(parts.initiator, [[0, 4]], { lun: 1 });
  t.is(await use(parts, token, [[8, 4]]), 'good');
  const holder = parts.core.connect('naa.5000000000000002');
  const reserve = (action: number, list: Uint8Array) =>
    holder.send({ lun: 1, cdb: [0x5f, action, TYPES.EA, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  await reserve(0, new Uint8Array(24).fill(1, 8, 16));
  await reserve(1, new Uint8Array(24).fill(1, 0, 8));
  t.is(await use(parts, token, [[8, 4]]), '5 2304', 'reserved by another');
  parts.core.lunMap.remove(1);
  parts.initiator.nexus.unit(0)!.unitAttentions.clearAll();
  t.is(await use(parts, token, [[8, 4]]), '5 2304', 'no longer mapped');
});

test('WRITE USING TOKEN meets write protection and reservations like any WRITE', async (t) => {
  const parts = setUp();
  const token = await makeToken(parts.initiator, [[0, 4]]);
  parts.other.disk.control.swp = true;
  t.is(await use(parts, token, [[8, 4]], { lun: 1 }), '7 2702');
  const holder = parts.core.connect('naa.5000000000000002');
  await sendOut(holder, 'register', { actionKey: 1 });
  await sendOut(holder, 'reserve', { key: 1, type: TYPES.WE });
  t.is(await use(parts, token, [[8, 4]]), 'conflict');
  t.is(outcome(await sendToken(parts.initiator, POPULATE, populateList([[0, 4]]))), 'good', 'it only reads');
});

// Lists that are wrong.

const OVERLAPPING: readonly Range[] = [
  [0, 8],
  [7, 1],
];
const POPULATE_FAULTS: { what: string; list: Uint8Array; expected: string }[] = [
  { what: 'no range', list: populateList([]), expected: '5 2600' },
  { what: 'a header cut short', list: populateList([[0, 1]]).subarray(0, 15), expected: '5 1a00' },
  { what: 'a data length too small', list: populateList([[0, 1]]).fill(0x1d, 1, 2), expected: '5 2600' },
  { what: 'a timeout too long', list: populateList([[0, 1]], { timeout: 601 }), expected: '5 2600' },
  {
    what: 'a type that is not offered',
    list: populateList([[0, 1]], { rodType: 0x10000 }),
    expected: '5 2600',
  },
  { what: 'too many ranges', list: populateList(new Array(65).fill([0, 0])), expected: '5 2608' },
  { what: 'a block twice', list: populateList(OVERLAPPING), expected: '5 2600' },
  { what: 'blocks past the end', list: populateList([[4095, 2]]), expected: '5 2100' },
];
for (const { what, list, expected } of POPULATE_FAULTS) {
  test(`POPULATE TOKEN with ${what} is refused`, async (t) => {
    const { initiator } = setUp();
    t.is(outcome(await sendToken(initiator, POPULATE, list)), expected);
    t.is(outcome(await receiveInformation(initiator)), '5 2400');
  });
}

const shortToken = () => {
  const token = zeroToken();
  putU16(token, 6, 0x1f7);
  return token;
};
const WRITE_FAULTS: { what: string; list: Uint8Array; expected: string }[] = [
  { what: 'no range', list: writeList(zeroToken(), []), expected: '5 2600' },
  { what: 'a header cut short', list: writeList(zeroToken(), [[0, 1]]).subarray(0, 535), expected: '5 2600' },
  { what: 'a token of another length', list: writeList(shortToken(), [[0, 1]]), expected: '5 230a' },
  {
    what: 'a type that is not offered',
    list: writeList(zeroToken().fill(0, 0, 4), [[0, 1]]),
    expected: '5 2301',
  },
  {
    what: 'a token that never was',
    list: writeList(Uint8Array.from([0, 0x80, 0, 1, ...zeroToken().subarray(4)]), [[0, 1]]),
    expected: '5 2304',
  },
  { what: 'a block twice', list: writeList(zeroToken(), OVERLAPPING), expected: '5 2600' },
  { what: 'blocks past the end', list: writeList(zeroToken(), [[4095, 2]]), expected: '5 2100' },
];
for (const { what, list, expected } of WRITE_FAULTS) {
  test(`WRITE USING TOKEN with ${what} is refused, and nothing is written`, async (t) => {
    const { initiator, own } = setUp();
    const before = own.bytes.slice();
    t.is(outcome(await sendToken(initiator, WRITE, list)), expected);
    t.true(sameBytes(own.bytes, before));
  });
}

test('no list is no error', async (t) => {
  const { initiator } = setUp();
  t.is(outcome(await sendToken(initiator, POPULATE, new Uint8Array(0))), 'good');
  t.is(outcome(await sendToken(initiator, WRITE, new Uint8Array(0))), 'good');
});

test('a token has the type that was asked for', async (t) => {
  const { initiator } = setUp();
  const types = [undefined, 0x0080_0000, 0x0080_0001, 0x0080_ffff];
  const made = [0x0080_0001, 0x0080_0000, 0x0080_0001, 0x0080_0001];
  for (const [i, rodType] of types.entries()) {
    t.is(u32(await makeToken(initiator, [[0, 1]], { rodType }), 0), made[i]);
  }
});

// What becomes of a copy.

test('a failing medium is told in the sense data of RECEIVE ROD TOKEN INFORMATION, too', async (t) => {
  const parts = setUp();
  const token = await makeToken(parts.initiator, [[0, 8]]);
  parts.own.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR };
  t.is(await use(parts, token, [[0, 8]], { lun: 1 }), 'a 0d01');
  const told = await information(parts.initiator, { lun: 1 });
  t.is(told.status, 2);
  t.is(told.senseLength, 18);
  const { dataIn } = await receiveInformation(parts.initiator, { lun: 1, serviceAction: 0x05 });
  t.is(dataIn.length, 32 + 20, 'RECEIVE COPY STATUS(LID4) is the same without tokens');
  t.is(dataIn[32 + 2], 0xa);
});

test('a copy that is aborted is terminated, and gives everything back', async (t) => {
  const parts = setUp();
  const { core, initiator, own } = parts;
  const token = await makeToken(initiator, [[0, 2048]]);
  own.hold = true;
  const copying = use(parts, token, [[0, 2048]], { lun: 1 });
  await new Promise((resolve) => setImmediate(resolve));
  const { taskSet } = parts.other.disk;
  await new Promise<void>((resolve) =>
    taskSet.abort(
      taskSet.filter(() => true),
      initiator.nexus,
      resolve,
    ),
  );
  await copying;
  own.hold = false;
  t.is((await information(initiator, { lun: 1 })).status, 0x60);
  t.is(core.environment.memory.outstanding, 0);
  t.is(core.disk.rangeLocks.held + parts.other.disk.rangeLocks.held, 0);
});
