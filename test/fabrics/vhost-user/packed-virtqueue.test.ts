import test from 'ava';
import fc from 'fast-check';
import { EventFlag, PackedFlag } from '../../../src/fabrics/vhost-user/packed-virtqueue-spec.ts';
import { VirtqueueError } from '../../../src/fabrics/vhost-user/protocol-error.ts';
import { CHAIN_LIMIT } from '../../../src/fabrics/vhost-user/virtqueue.ts';
import { MEMORY_END } from '../../support/vhost-user/heap-ring.ts';
import { PackedHeapRing, type PackedRingDescriptor } from '../../support/vhost-user/packed-heap-ring.ts';

const { NEXT, WRITE, INDIRECT, AVAIL, USED } = PackedFlag;

test('a chain is taken in the order of the ring, over its end', (t) => {
  const ring = new PackedHeapRing(4, { base: (3 | 0x8000 | ((3 | 0x8000) << 16)) >>> 0 });
  ring.describe(
    [
      { address: 0x100, length: 10, flags: NEXT },
      { address: 0x200, length: 20, flags: NEXT | WRITE },
      { address: 0x300, length: 30, flags: WRITE, id: 2 },
    ],
    3,
  );
  t.deepEqual(ring.pop(), {
    head: 2,
    readable: 1,
    buffers: [
      [0x100, 10],
      [0x200, 20],
      [0x300, 30],
    ],
  });
  t.is(ring.pop(), undefined);
  // Two places into the next round, whose wrap counter is 0; nothing used yet.
  t.is(ring.queue.base, (2 | ((3 | 0x8000) << 16)) >>> 0);
});

test('all descriptors of an indirect table count, in their order', (t) => {
  const ring = new PackedHeapRing();
  ring.describe([{ address: 0x5001, length: 48, flags: INDIRECT, id: 5 }]);
  ring.table(
    [
      { address: 0x100, length: 1 },
      { address: 0x200, length: 2, flags: NEXT },
      { address: 0x300, length: 3, flags: WRITE },
    ],
    0x5001,
  );
  t.deepEqual(ring.pop(), {
    head: 5,
    readable: 2,
    buffers: [
      [0x100, 1],
      [0x200, 2],
      [0x300, 3],
    ],
  });
});

test('used descriptors appear all at once, one per chain, at the place of the oldest', (t) => {
  const ring = new PackedHeapRing(4);
  ring.describe([
    { address: 0x100, length: 1, flags: NEXT },
    { address: 0x200, length: 1, flags: WRITE, id: 1 },
    { address: 0x300, length: 1, id: 3 },
  ]);
  ring.pop();
  ring.pop();
  ring.queue.push(3, 0);
  ring.queue.push(1, 7);
  t.is(ring.used(0).flags & USED, 0, 'not before it is published');
  ring.queue.publish(false);
  t.deepEqual(ring.used(0), { id: 3, written: 0, flags: AVAIL | USED });
  t.deepEqual(ring.used(1), { id: 1, written: 7, flags: AVAIL | USED | WRITE });
  t.is(ring.queue.inFlight, 0);
});

const hostile: Readonly<
  Record<
    string,
    {
      ring: readonly PackedRingDescriptor[];
      table?: readonly PackedRingDescriptor[];
      message: RegExp;
      indirect?: boolean;
    }
  >
> = {
  'a chain that fills the ring and goes on': {
    ring: Array.from({ length: 8 }, () => ({ address: 1, length: 1, flags: NEXT })),
    message: /goes on/,
  },
  'a buffer id outside of the ring': { ring: [{ address: 1, length: 1, id: 8 }], message: /buffer id 8/ },
  'a buffer id that is in use': {
    ring: [
      { address: 1, length: 1, id: 3 },
      { address: 1, length: 1, id: 3 },
    ],
    message: /in use already/,
  },
  'a readable descriptor after a writable one': {
    ring: [
      { address: 1, length: 1, flags: WRITE | NEXT },
      { address: 1, length: 1 },
    ],
    message: /readable descriptor after/,
  },
  'the highest address': { ring: [{ address: 2n ** 64n - 1n, length: 1 }], message: /2\^53/ },
  'an indirect table that was not negotiated': {
    ring: [{ address: 0x5000, length: 16, flags: INDIRECT }],
    indirect: false,
    message: /not negotiated/,
  },
  'an indirect table before the last descriptor': {
    ring: [
      { address: 0x5000, length: 16, flags: INDIRECT | NEXT },
      { address: 1, length: 1 },
    ],
    message: /not the last/,
  },
  'an indirect table inside an indirect table': {
    ring: [{ address: 0x5000, length: 16, flags: INDIRECT }],
    table: [{ address: 0x6000, length: 16, flags: INDIRECT }],
    message: /inside a table/,
  },
  'an indirect table of half a descriptor': {
    ring: [{ address: 0x5000, length: 8, flags: INDIRECT }],
    message: /indirect table of 8/,
  },
  'an indirect table outside of memory': {
    ring: [{ address: MEMORY_END - 8, length: 16, flags: INDIRECT }],
    message: /unmapped/,
  },
};

for (const [what, { ring: descriptors, table = [], message, indirect = true }] of Object.entries(hostile)) {
  test(`${what} breaks the ring`, (t) => {
    const ring = new PackedHeapRing(8, { indirect });
    ring.describe(descriptors);
    ring.table(table, 0x5000);
    const popAll = () => {
      while (ring.pop() !== undefined);
    };
    t.throws(popAll, { instanceOf: VirtqueueError, message });
  });
}

test('more descriptors than the ring has cannot be in flight', (t) => {
  const ring = new PackedHeapRing(2);
  ring.describe([
    { address: 1, length: 1, id: 0 },
    { address: 1, length: 1, id: 1 },
  ]);
  ring.pop();
  ring.pop();
  // The driver goes on into the next round although nothing was used.
  ring.describe([{ address: 1, length: 1, id: 0 }], 0, false);
  t.throws(() => ring.pop(), { instanceOf: VirtqueueError });
});

test('a ring that starts outside of itself is refused', (t) => {
  t.throws(() => new PackedHeapRing(8, { base: 8 }), { instanceOf: VirtqueueError });
  t.throws(() => new PackedHeapRing(8, { base: 8 << 16 }), { instanceOf: VirtqueueError });
});

test('any bytes in the ring give chains inside its bounds or a VirtqueueError', (t) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          address: fc.oneof(
            fc.nat(MEMORY_END),
            fc.constant(0x5000),
            fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          ),
          length: fc.oneof(fc.nat(64), fc.constantFrom(0, 16, 32, 0xffff_ffff)),
          flags: fc.oneof(fc.nat(7), fc.nat(0xffff)),
          id: fc.nat(9),
        }),
        { maxLength: 8 },
      ),
      fc.uint8Array({ minLength: 64, maxLength: 64 }),
      (descriptors, table) => {
        const ring = new PackedHeapRing(8);
        ring.describe(descriptors);
        ring.bytes.set(table, 0x5000);
        try {
          for (let chain = ring.pop(); chain !== undefined; chain = ring.pop()) {
            t.true(chain.buffers.length <= CHAIN_LIMIT);
            t.true(chain.buffers.every(([address, length]) => Number.isSafeInteger(address) && length > 0));
          }
        } catch (error) {
          t.true(error instanceof VirtqueueError, String(error));
        }
        t.true(ring.queue.inFlight <= ring.size);
      },
    ),
    { numRuns: 500 },
  );
});

test('event suppression is honoured and set', (t) => {
  const roundTrip = (event: number, eventIndex: boolean) => {
    const ring = new PackedHeapRing(8, { eventIndex });
    const signals: boolean[] = [];
    ring.driverEvent = event;
    for (let i = 0; i < 3; i++) {
      ring.describe([{ address: 1, length: 1, id: i }], i);
      ring.pop();
      ring.queue.push(i, 0);
      signals.push(ring.queue.publish(false));
    }
    ring.queue.pauseKicks();
    const paused = ring.deviceEvent >>> 16;
    ring.queue.awaitKicks();
    return { signals, paused, event: ring.deviceEvent };
  };
  const enabled = roundTrip(EventFlag.ENABLE << 16, false);
  t.deepEqual(enabled.signals, [true, true, true]);
  t.is(enabled.paused, EventFlag.DISABLE);
  t.is(enabled.event >>> 16, EventFlag.ENABLE);
  t.deepEqual(roundTrip(EventFlag.DISABLE << 16, true).signals, [false, false, false]);
  // The first signal is always sent: nobody knows what the driver has seen.
  const selective = roundTrip((EventFlag.DESCRIPTOR << 16) | 0x8000 | 2, true);
  t.deepEqual(selective.signals, [true, false, true]);
  t.is(selective.event, ((EventFlag.DESCRIPTOR << 16) | 0x8000 | 3) >>> 0);
});

test('what is shown in parts is asked about at the end, as a whole', (t) => {
  for (const [place, wanted] of [
    [0, false],
    [1, true],
    [2, true],
    [3, false],
  ] as const) {
    const ring = new PackedHeapRing(8, { eventIndex: true });
    ring.driverEvent = (EventFlag.DESCRIPTOR << 16) | 0x8000 | place;
    const complete = (id: number, more: boolean) => {
      ring.describe([{ address: 1, length: 1, id }], id);
      ring.pop();
      ring.queue.push(id, 0);
      return ring.queue.publish(more);
    };
    t.true(complete(0, false), 'the first signal');
    t.false(complete(1, true));
    t.false(complete(2, true));
    t.is(ring.queue.publish(false), wanted, `place ${place}`);
    t.false(ring.queue.publish(false));
  }
});

test('an event place of the round before is passed at the end of the ring', (t) => {
  const start = (6 | 0x8000 | ((6 | 0x8000) << 16)) >>> 0;
  const ring = new PackedHeapRing(8, { eventIndex: true, base: start });
  ring.driverEvent = (EventFlag.DESCRIPTOR << 16) | 0x8000 | 7;
  const step = (at: number, id: number) => {
    ring.describe([{ address: 1, length: 1, id }], at % 8, at < 8);
    ring.pop();
    ring.queue.push(id, 0);
    return ring.queue.publish(false);
  };
  t.true(step(6, 0));
  t.true(step(7, 1), 'place 7 of this round');
  t.false(step(8, 2), 'place 0 of the next round');
});
