/** EXTENDED COPY (SPC-4 6.4): what is copied, and lists that are wrong. */
import test from 'ava';
import fc from 'fast-check';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { both, copyDisks, OWN } from '../support/copy-disks.ts';
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
import { Core } from '../support/core.ts';
import { outcome } from '../support/persistent-reservations.ts';
import { sameBytes } from '../support/same-bytes.ts';

test('blocks are copied within a unit and between two, many pieces and segments', async (t) => {
  const { core, initiator, own, other } = copyDisks();
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
    const { initiator, own } = copyDisks();
    const before = own.bytes.slice();
    t.is(outcome(await sendCopy(initiator, copyList(both(), [blocks(1300, { from, to })]))), 'good');
    const copied = own.bytes.subarray(to * 512, (to + 1300) * 512);
    t.true(sameBytes(copied, before.subarray(from * 512, (from + 1300) * 512)), `${from} to ${to}`);
  }
});

test('between block sizes, whole blocks of both are copied and other amounts refused', async (t) => {
  const { initiator, own, other } = copyDisks({ blockSize: 4096 });
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
    const { core, initiator, own, other } = copyDisks();
    const before = own.bytes.slice();
    t.is(outcome(await sendCopy(initiator, list)), expected);
    t.true(sameBytes(own.bytes, before));
    t.true(other.backstore.bytes.every((byte) => byte === 0));
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('an empty list is no error, and less data than announced is one', async (t) => {
  const { initiator } = copyDisks();
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
  const { initiator, other } = copyDisks();
  const check = async (...segments: Uint8Array[]) =>
    outcome(await sendCopy(initiator, copyList(both(), segments)));
  t.is(await check(verify(0), verify(1, true), verify(OWN)), 'good');
  other.disk.notReady = { sense: Sense.INITIALIZING_COMMAND_REQUIRED };
  t.is(await check(verify(1)), 'good');
  t.is(await check(verify(1, true)), 'a 0d02');
  t.is(await check(verify(2)), 'a 0804');
});

test('whatever the list, the answer is GOOD or sense data, and nothing stays allocated or locked', async (t) => {
  const { initiator, core } = copyDisks();
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
