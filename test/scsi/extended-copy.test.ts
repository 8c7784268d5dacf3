import test from 'ava';
import fc from 'fast-check';
import type { CommandResult } from '../../src/fabrics/loopback/initiator.ts';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { u16, u32 } from '../../src/scsi/bytes.ts';
import { DEFAULT_ATTRIBUTES } from '../../src/scsi/device-attributes.ts';
import { Disk } from '../../src/scsi/disk.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { ArrayBackstore } from '../support/array-backstore.ts';
import {
  blocks,
  bytesAt,
  copyCdb,
  copyList,
  cscd,
  receive,
  sendCopy,
  verify,
} from '../support/copy-lists.ts';
import { Core, TEST_IDENTITY } from '../support/core.ts';
import { outcome, sendOut, TYPES, unitAttentions } from '../support/persistent-reservations.ts';
import { sameBytes } from '../support/same-bytes.ts';

const OTHER_NAA = TEST_IDENTITY.naa.slice().fill(0xee, 8);
const OWN = 0xffff;
const EXTENT = 1 << 20;

/** A second disk at LUN 1, unless told otherwise. */
function setUp({ mapped = true, writeProtected = false, blockSize = 512 } = {}) {
  const core = new Core();
  const backstore = new ArrayBackstore(core.environment.memory, EXTENT);
  const disk = new Disk(core.environment, backstore, {
    identity: { ...TEST_IDENTITY, serial: 'other', naa: OTHER_NAA },
    attributes: { ...DEFAULT_ATTRIBUTES, block_size: blockSize },
  });
  if (mapped) {
    core.lunMap.add(1, disk, writeProtected);
    core.initiator.nexus.unit(0)!.unitAttentions.clearAll();
  }
  for (let i = 0; i < EXTENT; i++) core.backstore.bytes[i] = (i >> 9) * 7 + i;
  return { core, initiator: core.initiator, own: core.backstore, other: { disk, backstore } };
}

const both = (blockLength = 512) => [cscd(), cscd({ naa: OTHER_NAA, blockLength })];
const commandSpecific = ({ sense }: CommandResult) => u32(sense, 8);

test('blocks are copied within a unit and between two, many pieces and segments', async (t) => {
  const { core, initiator, own, other } = setUp();
  const before = own.bytes.slice();
  const list = copyList(both(), [
    blocks(1500, { from: 3, destination: 1, to: 100 }),
    blocks(0, { from: 3, to: 4 }),
    bytesAt(4096, { source: 1, from: 100, to: 2000 }),
    blocks(1, { source: OWN, destination: OWN, from: 9, to: 2047 }),
  ]);
  t.is(outcome(await sendCopy(initiator, list)), 'good');
  t.true(
    sameBytes(other.backstore.bytes.subarray(100 * 512, 1600 * 512), before.subarray(3 * 512, 1503 * 512)),
  );
  t.true(other.backstore.bytes.subarray(0, 100 * 512).every((byte) => byte === 0));
  t.true(other.backstore.bytes.subarray(1600 * 512).every((byte) => byte === 0));
  t.deepEqual(own.bytes.subarray(2000 * 512, 2008 * 512), before.subarray(3 * 512, 11 * 512));
  t.deepEqual(own.bytes.subarray(2047 * 512), before.subarray(9 * 512, 10 * 512));
  t.is(core.environment.memory.outstanding, 0);
});

test('ranges that overlap are copied as if through a buffer, in either direction', async (t) => {
  for (const [from, to] of [
    [0, 700],
    [700, 0],
    [1, 0],
    [0, 1],
  ]) {
    const { initiator, own } = setUp();
    const before = own.bytes.slice();
    t.is(outcome(await sendCopy(initiator, copyList(both(), [blocks(1300, { from, to })]))), 'good');
    const copied = own.bytes.subarray(to * 512, (to + 1300) * 512);
    t.true(sameBytes(copied, before.subarray(from * 512, (from + 1300) * 512)), `${from} to ${to}`);
  }
});

test('between block sizes, whole blocks of both are copied and other amounts refused', async (t) => {
  const { initiator, own, other } = setUp({ blockSize: 4096 });
  const cscds = both(4096);
  const copy = async (segment: Uint8Array) => outcome(await sendCopy(initiator, copyList(cscds, [segment])));
  t.is(await copy(blocks(16, { destination: 1, from: 1, to: 1 })), 'good');
  t.deepEqual(other.backstore.bytes.subarray(4096, 3 * 4096), own.bytes.subarray(512, 17 * 512));
  t.is(await copy(blocks(2, { destination: 1, to: 5, dc: true })), 'good');
  t.deepEqual(other.backstore.bytes.subarray(5 * 4096, 7 * 4096), own.bytes.subarray(0, 16 * 512));
  t.is(await copy(blocks(9, { destination: 1 })), 'a 260a');
  t.is(await copy(bytesAt(4096, { destination: 1, toOffset: 512 })), 'a 260a');
  t.is(await copy(bytesAt(4096, { destination: 1, fromOffset: 512, to: 9 })), 'good');
  t.deepEqual(other.backstore.bytes.subarray(9 * 4096, 10 * 4096), own.bytes.subarray(512, 512 + 4096));
});

// What the initiator may not do, it may not do through a copy (CVE-2020-28374, CVE-2021-3139).

const FORBIDDEN: {
  what: string;
  options?: Parameters<typeof setUp>[0];
  prepare?: (parts: ReturnType<typeof setUp>) => Promise<void> | void;
  /** From unit 0 to unit 1, and back. */
  write: string;
  read: string;
}[] = [
  { what: 'is not in its LUN map', options: { mapped: false }, write: 'a 0d02', read: 'a 0d02' },
  { what: 'is mapped read-only', options: { writeProtected: true }, write: 'a 0d01', read: 'good' },
  {
    what: 'is write-protected by SWP',
    prepare: ({ other }) => {
      other.disk.control.swp = true;
    },
    write: 'a 0d01',
    read: 'good',
  },
  {
    what: 'another reserved for writing',
    prepare: (parts) => reserve(parts, TYPES.WE),
    write: 'a 0d01',
    read: 'good',
  },
  {
    what: 'another reserved for itself',
    prepare: (parts) => reserve(parts, TYPES.EA),
    write: 'a 0d01',
    read: 'a 0d01',
  },
  {
    what: 'is stopped',
    prepare: ({ other }) => {
      other.disk.notReady = { sense: Sense.INITIALIZING_COMMAND_REQUIRED };
    },
    write: 'a 0d02',
    read: 'a 0d02',
  },
];
async function reserve({ core }: ReturnType<typeof setUp>, type: number): Promise<void> {
  const holder = core.connect('naa.5000000000000002');
  const send = (action: number, list: Uint8Array) =>
    holder.send({ lun: 1, cdb: [0x5f, action, type, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  const key = new Uint8Array(24).fill(1, 8, 16);
  await send(0, key);
  await send(1, key.slice().copyWithin(0, 8, 16));
}
for (const { what, options, prepare, write, read } of FORBIDDEN) {
  test(`a unit that ${what} is out of reach of a copy, too`, async (t) => {
    const parts = setUp(options);
    await prepare?.(parts);
    const { initiator, own, other } = parts;
    const before = { own: own.bytes.slice(), other: other.backstore.bytes.slice() };
    const to = await sendCopy(initiator, copyList(both(), [blocks(8, { destination: 1 })]));
    t.is(outcome(to), write);
    t.true(sameBytes(other.backstore.bytes, before.other), 'no byte written');
    const from = await sendCopy(initiator, copyList(both(), [blocks(8, { source: 1 })]));
    t.is(outcome(from), read);
    if (read !== 'good') t.true(sameBytes(own.bytes, before.own), 'no byte shown');
  });
}

test('a reservation that fences the initiator off the destination ends a copy at its next piece', async (t) => {
  const parts = setUp();
  const { core, initiator, other } = parts;
  other.backstore.hold = true;
  const copy = sendCopy(initiator, copyList(both(), [blocks(2048, { destination: 1 })]));
  await new Promise(setImmediate);
  t.is(other.backstore.held.length, 1);
  await reserve(parts, TYPES.WE);
  other.backstore.hold = false;
  other.backstore.releaseHeld();
  t.is(outcome(await copy), 'a 0d01');
  const written = other.backstore.log.filter(({ kind }) => kind === OperationKind.WRITE);
  t.deepEqual(
    written.map(({ offset }) => offset),
    [0],
  );
  t.is(core.environment.memory.outstanding, 0);
});

test('a reservation on the unit that gets the command keeps it out altogether', async (t) => {
  const { core, initiator } = setUp();
  const holder = core.connect('naa.5000000000000002');
  await sendOut(holder, 'register', { actionKey: 1 });
  await sendOut(holder, 'reserve', { key: 1, type: TYPES.WE });
  t.is(outcome(await sendCopy(initiator, copyList(both(), [blocks(8, { destination: 1 })]))), 'conflict');
});

// Lists that are wrong.

const FAULTS: { what: string; list: Uint8Array; expected: string }[] = [
  { what: 'a header cut short', list: copyList([], []).subarray(0, 15), expected: '5 1a00' },
  { what: 'a CSCD cut short', list: copyList([cscd()], []).subarray(0, 47), expected: '5 1a00' },
  { what: 'a segment cut short', list: copyList([cscd()], [blocks(1)]).subarray(0, -1), expected: '5 1a00' },
  {
    what: 'a segment longer than its list',
    list: copyList([cscd()], [blocks(1).subarray(0, 20)]),
    expected: '5 1a00',
  },
  { what: 'too many CSCDs', list: copyList(new Array(65).fill(cscd()), [blocks(1)]), expected: '5 2606' },
  { what: 'too many segments', list: copyList([cscd()], new Array(257).fill(blocks(1))), expected: '5 2608' },
  {
    what: 'more descriptors than the limit',
    list: copyList(new Array(65).fill(cscd()), new Array(293).fill(blocks(1))),
    expected: '5 1a00',
  },
  { what: 'a Fibre Channel CSCD', list: copyList([cscd({ type: 0xe0 })], [blocks(1)]), expected: '5 2607' },
  {
    what: 'a designator that is too long',
    list: copyList([cscd({ designatorLength: 21 })], []),
    expected: '5 2600',
  },
  { what: 'an unknown segment', list: copyList([cscd()], [blocks(1).fill(3, 0, 1)]), expected: '5 2609' },
  {
    what: 'a segment of the wrong length',
    list: copyList([cscd()], [blocks(1).fill(0x17, 3, 4)]),
    expected: '5 2600',
  },
  { what: 'inline data', list: copyList([cscd()], [], { inlineLength: 4 }), expected: '5 260b' },
  { what: 'a reserved LIST ID USAGE', list: copyList([cscd()], [], { usage: 1 }), expected: '5 2600' },
  {
    what: 'a list identifier that nobody may use',
    list: copyList([cscd()], [], { usage: 3 }),
    expected: '5 2600',
  },
  {
    what: 'a CSCD that is not there',
    list: copyList([cscd()], [blocks(1, { destination: 1 })]),
    expected: 'a 0804',
  },
  { what: 'a tape', list: copyList([cscd({ deviceType: 1 })], [blocks(1)]), expected: 'a 0d03' },
  {
    what: 'another block length',
    list: copyList([cscd({ blockLength: 520 })], [blocks(1)]),
    expected: 'a 0d03',
  },
  {
    what: 'another kind of name',
    list: copyList([cscd({ designatorType: 2 })], [blocks(1)]),
    expected: 'a 0d02',
  },
  {
    what: 'a source past the end',
    list: copyList([cscd()], [blocks(2, { from: 2047 })]),
    expected: 'a 0000',
  },
  {
    what: 'a destination past the end',
    list: copyList([cscd()], [blocks(2, { to: 2047 })]),
    expected: 'a 0000',
  },
  { what: 'an LBA of 64 bits', list: copyList([cscd()], [blocks(1).fill(0xff, 12, 20)]), expected: 'a 0000' },
  { what: 'a segment over the limit', list: copyList([cscd()], [bytesAt(0x0400_0200)]), expected: 'a 0000' },
];
for (const { what, list, expected } of FAULTS) {
  test(`a list with ${what} is refused, and nothing is written`, async (t) => {
    const { core, initiator, own, other } = setUp();
    const before = own.bytes.slice();
    t.is(outcome(await sendCopy(initiator, list)), expected);
    t.true(sameBytes(own.bytes, before));
    t.true(other.backstore.bytes.every((byte) => byte === 0));
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('an empty list is no error, and less data than announced is one', async (t) => {
  const { initiator } = setUp();
  t.is(outcome(await initiator.send({ cdb: copyCdb(0) })), 'good');
  t.is(outcome(await initiator.send({ cdb: copyCdb(100), dataOut: new Uint8Array(99) })), '5 1a00');
  t.is(outcome(await initiator.send({ cdb: copyCdb(0xffff_ffff), dataOut: new Uint8Array(99) })), '5 1a00');
});

test('without emulate_3pc there are no copies and no page about them', async (t) => {
  const { initiator } = new Core({ attributes: { emulate_3pc: 0 } });
  t.is(outcome(await sendCopy(initiator, copyList([cscd()], [blocks(1)]))), '5 2000');
  t.is(outcome(await receive(initiator, 3)), '5 2000');
  t.is(outcome(await initiator.send({ cdb: [0x12, 1, 0x8f, 0, 255, 0], dataInLength: 255 })), '5 2400');
});

test('Verify CSCD looks whether a unit is there and, if asked, ready', async (t) => {
  const { initiator, other } = setUp();
  const check = async (...segments: Uint8Array[]) =>
    outcome(await sendCopy(initiator, copyList(both(), segments)));
  t.is(await check(verify(0), verify(1, true), verify(OWN)), 'good');
  other.disk.notReady = { sense: Sense.INITIALIZING_COMMAND_REQUIRED };
  t.is(await check(verify(1)), 'good');
  t.is(await check(verify(1, true)), 'a 0d02');
  t.is(await check(verify(2)), 'a 0804');
});

// What becomes of a copy.

test('RECEIVE COPY STATUS tells how far a copy came, to the initiator that sent it', async (t) => {
  const { core, initiator } = setUp();
  t.is(outcome(await receive(initiator, 0, 7)), '5 2400');
  const list = copyList(both(), [blocks(3, { destination: 1 }), blocks(2, { from: 2047 })], { listId: 7 });
  const failed = await sendCopy(initiator, list);
  t.is(outcome(failed), 'a 0000');
  t.is(commandSpecific(failed), 1, 'the segment that failed');
  t.deepEqual([...(await receive(initiator, 0, 7)).dataIn], [0, 0, 0, 8, 2, 0, 1, 0, 0, 0, 6, 0]);
  const details = (await receive(initiator, 4, 7)).dataIn;
  t.is(u32(details, 0), details.length - 4);
  t.is(details[56], 2);
  t.is(u16(details, 58), failed.sense.length);
  t.deepEqual(details.subarray(60), failed.sense);
  t.is(outcome(await receive(core.connect('naa.5000000000000002'), 0, 7)), '5 2400');
  t.is(outcome(await receive(initiator, 0, 7)), '5 2400', 'told once only');

  const again = copyList(both(), [blocks(3, { destination: 1 })], { listId: 7 });
  t.is(outcome(await sendCopy(initiator, again)), 'good');
  t.deepEqual([...(await receive(initiator, 0, 7)).dataIn], [0, 0, 0, 8, 1, 0, 1, 0, 0, 0, 6, 0]);
  t.is(outcome(await receive(initiator, 4, 7)), '5 2400', 'nothing failed');
});

test('a copy under way is seen as such, and its list identifier is taken', async (t) => {
  const { core, initiator } = setUp();
  core.backstore.hold = true;
  const list = copyList(both(), [blocks(3, { destination: 1 })], { listId: 5 });
  const copying = sendCopy(initiator, list);
  await new Promise((resolve) => setImmediate(resolve));
  t.is((await receive(initiator, 0, 5)).dataIn[4], 0);
  t.is(outcome(await sendCopy(initiator, list)), '5 0016');
  const unnamed = sendCopy(initiator, copyList(both(), [], { listId: 0, usage: 3 }));
  t.is(outcome(await unnamed), 'good');
  core.backstore.releaseHeld();
  t.is(outcome(await copying), 'good');
});

test('four copies run at once, the others wait their turn, and all end', async (t) => {
  const { core, initiator } = setUp();
  core.backstore.hold = true;
  const copies = Array.from({ length: 10 }, (_, i) =>
    sendCopy(initiator, copyList(both(), [blocks(1, { from: i, destination: 1, to: i })], { listId: i })),
  );
  await new Promise((resolve) => setImmediate(resolve));
  t.is(core.backstore.held.length, 4);
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  for (const copy of copies) t.is(outcome(await copy), 'good');
  t.is(core.environment.memory.outstanding, 0);
});

test('a copy that is aborted stops at its next piece and gives everything back', async (t) => {
  const { core, initiator, other } = setUp();
  core.backstore.hold = true;
  const list = copyList(both(), [blocks(2000, { destination: 1 })], { listId: 5 });
  const { task, result } = initiator.start({ cdb: copyCdb(list.length), dataOut: list });
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise<void>((resolve) => core.disk.taskSet.abort([task], initiator.nexus, resolve));
  t.true((await result).aborted);
  t.is(other.backstore.log.length, 0);
  t.is(core.environment.memory.outstanding, 0);
  t.is(core.disk.rangeLocks.held, 0);
  core.backstore.hold = false;
  t.is((await receive(initiator, 0, 5)).dataIn[4], 2);
});

test('a failing medium on either side ends the copy', async (t) => {
  const { core, initiator, other } = setUp();
  const list = copyList(both(), [
    blocks(1, { destination: 1 }),
    blocks(8, { from: 8, destination: 1, to: 8 }),
  ]);
  core.backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR, at: 10 * 512 };
  const unread = await sendCopy(initiator, list);
  t.is(outcome(unread), 'a 0d01');
  t.is(commandSpecific(unread), 1);
  core.backstore.fault = undefined;
  other.backstore.fault = { kind: OperationKind.WRITE, outcome: Outcome.NO_SPACE };
  t.is(outcome(await sendCopy(initiator, list)), 'a 0d01');
  t.is(core.environment.memory.outstanding, 0);
});

test('the results of 32 copies are kept, until reset or nexus loss', async (t) => {
  const { initiator, core } = setUp();
  for (let listId = 0; listId < 40; listId++) await sendCopy(initiator, copyList([], [], { listId }));
  t.is(outcome(await receive(initiator, 0, 7)), '5 2400');
  t.is(outcome(await receive(initiator, 0, 8)), 'good');
  core.disk.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, undefined);
  await unitAttentions(initiator);
  t.is(outcome(await receive(initiator, 0, 8)), '5 2400');
});

// What is promised.

test('RECEIVE COPY OPERATING PARAMETERS and VPD 8F promise the same', async (t) => {
  const { initiator } = setUp();
  const { dataIn: parameters } = await receive(initiator, 3);
  t.is(u32(parameters, 0), parameters.length - 4);
  t.deepEqual([u16(parameters, 8), u16(parameters, 10), u32(parameters, 12)], [64, 256, 10240]);
  t.is(u32(parameters, 16), 64 << 20);
  t.is(parameters[37], 9);
  t.deepEqual([...parameters.subarray(43)], [4, 0x02, 0x07, 0x0a, 0xe4]);

  const { dataIn: page } = await initiator.send({ cdb: [0x12, 1, 0x8f, 4, 0, 0], dataInLength: 1024 });
  t.is(u16(page, 2), page.length - 4);
  const descriptors = new Map<number, Uint8Array>();
  for (let at = 4; at < page.length; at += 4 + u16(page, at + 2)) {
    t.is(u16(page, at + 2) % 4, 0);
    descriptors.set(u16(page, at), page.subarray(at + 4, at + 4 + u16(page, at + 2)));
  }
  t.deepEqual([...descriptors.keys()], [0x0000, 0x0001, 0x0004, 0x0008, 0x000c, 0x0106, 0x0108, 0x8001]);
  t.deepEqual([...descriptors.get(1)!], [12, 0x83, 3, 0, 0x10, 0x11, 0x84, 5, 0, 3, 4, 5, 7, 0, 0, 0]);
  t.deepEqual([...descriptors.get(8)!], [4, 0x02, 0x07, 0x0a, 0xe4, 0, 0, 0]);
  t.deepEqual(descriptors.get(4)!.subarray(4, 12), parameters.subarray(8, 16));
});

test('whatever the list, the answer is GOOD or sense data, and nothing stays allocated or locked', async (t) => {
  const { initiator, core } = setUp();
  const segment = fc.oneof(
    fc
      .record({ from: fc.nat(0x900), to: fc.nat(0x900), count: fc.nat(40) })
      .map(({ count, ...f }) => blocks(count, f)),
    fc.uint8Array({ maxLength: 40 }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.constant(cscd()), fc.uint8Array({ maxLength: 40 })), { maxLength: 3 }),
      fc.array(segment, { maxLength: 4 }),
      fc.nat(255),
      async (cscds, segments, cut) => {
        const list = copyList(cscds, segments);
        const result = await sendCopy(initiator, cut < 64 ? list.subarray(0, cut) : list);
        return [0, 2].includes(result.status) && core.environment.memory.outstanding === 0;
      },
    ),
    { numRuns: 300 },
  );
  t.is(core.disk.rangeLocks.held, 0);
});
