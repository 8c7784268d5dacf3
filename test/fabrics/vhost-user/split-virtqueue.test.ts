import test from 'ava';
import fc from 'fast-check';
import { InflightSplit } from '../../../src/fabrics/vhost-user/inflight-split.ts';
import { VirtqueueError } from '../../../src/fabrics/vhost-user/protocol-error.ts';
import { DescriptorFlag } from '../../../src/fabrics/vhost-user/split-virtqueue-spec.ts';
import { CHAIN_LIMIT } from '../../../src/fabrics/vhost-user/virtqueue.ts';
import { HeapRing, MEMORY_END, type RingDescriptor } from '../../support/vhost-user/heap-ring.ts';

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;

test('a chain is followed from descriptor to descriptor', (t) => {
  const ring = new HeapRing();
  ring.describe([
    { address: 0x100, length: 10, flags: NEXT, next: 2 },
    {},
    { address: 0x200, length: 20, flags: NEXT | WRITE, next: 5 },
    {},
    {},
    { address: 0x300, length: 30, flags: WRITE },
  ]);
  ring.offer(0);
  t.deepEqual(ring.pop(), {
    head: 0,
    readable: 1,
    buffers: [
      [0x100, 10],
      [0x200, 20],
      [0x300, 30],
    ],
  });
  t.is(ring.pop(), undefined);
});

test('an indirect table may follow direct descriptors', (t) => {
  const ring = new HeapRing();
  ring.describe([
    { address: 0x100, length: 10, flags: NEXT, next: 1 },
    // 2.7.5.3.2: the write flag of the indirect descriptor itself means nothing.
    { address: 0x5000, length: 32, flags: INDIRECT | WRITE },
  ]);
  ring.describe(
    [
      { address: 0x200, length: 20, flags: NEXT, next: 1 },
      { address: 0x300, length: 30, flags: WRITE },
    ],
    0x5000,
  );
  ring.offer(0);
  t.is(ring.pop()!.readable, 2);
});

test('an indirect table may lie at any address', (t) => {
  const ring = new HeapRing();
  ring.describe([{ address: 0x5003, length: 16, flags: INDIRECT }]);
  ring.describe([{ address: 0x200, length: 20, flags: WRITE }], 0x5003);
  ring.offer(0);
  t.deepEqual(ring.pop()!.buffers, [[0x200, 20]]);
});

test('a descriptor without bytes counts for nothing', (t) => {
  const ring = new HeapRing();
  ring.describe([
    { address: 0x100, length: 0, flags: NEXT, next: 1 },
    { address: 0x200, length: 5, flags: NEXT, next: 2 },
    { address: 0x300, length: 0, flags: NEXT | WRITE, next: 3 },
    { address: 0x400, length: 7, flags: WRITE },
  ]);
  ring.offer(0);
  t.deepEqual(ring.pop(), {
    head: 0,
    readable: 1,
    buffers: [
      [0x200, 5],
      [0x400, 7],
    ],
  });
});

interface Hostile {
  readonly descriptors?: readonly RingDescriptor[];
  readonly table?: readonly RingDescriptor[];
  readonly heads?: readonly number[];
  readonly prepare?: (ring: HeapRing) => void;
  readonly indirect?: boolean;
  readonly message: RegExp;
}

const self = { address: 0x100, length: 1, flags: NEXT, next: 0 };
const hostile: Readonly<Record<string, Hostile>> = {
  'a head outside of the ring': { heads: [8], message: /descriptor 8 in a ring of 8/ },
  'a chain that loops': { descriptors: [self], message: /loops/ },
  'a chain that loops without bytes': { descriptors: [{ ...self, length: 0 }], message: /loops/ },
  'a next descriptor outside of the ring': {
    descriptors: [{ address: 0, length: 1, flags: NEXT, next: 9 }],
    message: /next descriptor 9/,
  },
  'an avail index that jumps by more than the ring': {
    heads: [],
    prepare: (ring) => {
      ring.availableIndex = 9;
    },
    message: /9 ahead/,
  },
  'a readable descriptor after a writable one': {
    descriptors: [
      { address: 0x100, length: 1, flags: WRITE | NEXT, next: 1 },
      { address: 0x200, length: 1 },
    ],
    message: /readable descriptor after/,
  },
  'an address that no Number holds': {
    descriptors: [{ address: 2n ** 53n, length: 1 }],
    message: /2\^53/,
  },
  'the highest address': { descriptors: [{ address: 2n ** 64n - 1n, length: 1 }], message: /2\^53/ },
  'more than 4 GiB in a chain': {
    descriptors: [
      { address: 0, length: 0xffff_ffff, flags: NEXT, next: 1 },
      { address: 0, length: 2 },
    ],
    message: /4 GiB/,
  },
  'an indirect table that was not negotiated': {
    descriptors: [{ address: 0x5000, length: 16, flags: INDIRECT }],
    indirect: false,
    message: /not negotiated/,
  },
  'an indirect table in the middle of a chain': {
    descriptors: [{ address: 0x5000, length: 16, flags: INDIRECT | NEXT, next: 1 }],
    message: /not the last/,
  },
  'an indirect table inside an indirect table': {
    descriptors: [{ address: 0x5000, length: 16, flags: INDIRECT }],
    table: [{ address: 0x6000, length: 16, flags: INDIRECT }],
    message: /inside a table/,
  },
  'an indirect table that loops': {
    descriptors: [{ address: 0x5000, length: 32, flags: INDIRECT }],
    table: [
      { address: 1, length: 1, flags: NEXT, next: 1 },
      { address: 1, length: 1, flags: NEXT, next: 0 },
    ],
    message: /loops/,
  },
  'an indirect table of no bytes': {
    descriptors: [{ address: 0x5000, length: 0, flags: INDIRECT }],
    message: /indirect table of 0 bytes/,
  },
  'an indirect table of half a descriptor': {
    descriptors: [{ address: 0x5000, length: 24, flags: INDIRECT }],
    message: /indirect table of 24 bytes/,
  },
  'an indirect table of 4 GiB': {
    descriptors: [{ address: 0, length: 0xffff_fff0, flags: INDIRECT }],
    message: /indirect table of/,
  },
  'an indirect table outside of memory': {
    descriptors: [{ address: MEMORY_END - 8, length: 16, flags: INDIRECT }],
    message: /unmapped/,
  },
  'a descriptor that is offered twice': {
    descriptors: [{ address: 0x100, length: 1 }],
    heads: [0, 0],
    message: /in use already/,
  },
};

for (const [
  what,
  { descriptors = [], table, heads = [0], prepare, indirect = true, message },
] of Object.entries(hostile)) {
  test(`${what} breaks the ring`, (t) => {
    const ring = new HeapRing(8, { indirect });
    ring.describe(descriptors);
    if (table !== undefined) ring.describe(table, 0x5000);
    ring.offer(...heads);
    prepare?.(ring);
    const popAll = () => {
      while (ring.pop() !== undefined);
    };
    t.throws(popAll, { instanceOf: VirtqueueError, message });
  });
}

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
          flags: fc.nat(15),
          next: fc.nat(9),
        }),
        { maxLength: 8 },
      ),
      fc.uint8Array({ minLength: 64, maxLength: 64 }),
      fc.array(fc.nat(8), { maxLength: 9 }),
      (descriptors, table, heads) => {
        const ring = new HeapRing(8);
        ring.describe(descriptors);
        ring.bytes.set(table, 0x5000);
        ring.offer(...heads);
        try {
          for (let chain = ring.pop(); chain !== undefined; chain = ring.pop()) {
            t.true(chain.buffers.length <= CHAIN_LIMIT);
            t.true(chain.readable <= chain.buffers.length);
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

test('used entries appear in order when they are published, over the wrap of the index', (t) => {
  const ring = new HeapRing(4, { base: 0xfffe });
  ring.describe(Array.from({ length: 4 }, () => ({ address: 0x100, length: 1 })));
  ring.offer(2, 0, 1, 3);
  for (let i = 0; i < 4; i++) ring.pop();
  for (const head of [1, 3, 2]) ring.queue.push(head, head * 10);
  t.is(ring.usedIndex, 0xfffe);
  ring.queue.publish(false);
  t.is(ring.usedIndex, 1);
  t.deepEqual(
    [0xfffe, 0xffff, 0].map((at) => ring.usedEntry(at).id),
    [1, 3, 2],
  );
  t.is(ring.usedEntry(0xffff).written, 30);
  t.is(ring.queue.inFlight, 1);
  t.is(ring.queue.base, 2);
});

test('a ring that was tracked goes on where a dead process left it', (t) => {
  const size = 4;
  const buffer = new ArrayBuffer(InflightSplit.byteLength(size));
  const first = new HeapRing(size, { inflight: new InflightSplit(buffer, 0, size) });
  t.deepEqual(first.queue.recover(), []);
  first.describe(Array.from({ length: size }, (_, i) => ({ address: 0x100 * i, length: 1 })));
  first.offer(3, 1, 0);
  for (let i = 0; i < 3; i++) first.pop();
  first.queue.push(1, 0);
  first.queue.publish(false);

  // Another process: the same memory, and an index from the front-end that knows only what was used.
  const { bytes } = first;
  const second = new HeapRing(size, { base: 1, inflight: new InflightSplit(buffer, 0, size) });
  second.bytes.set(bytes);
  const heads = second.queue.recover();
  t.deepEqual(heads, [3, 0]);
  for (const head of heads) second.queue.resubmit(head, second.chain);
  t.is(second.queue.inFlight, 2);
  t.is(second.queue.base, 3);
  t.is(second.pop(), undefined);
});

test('a process that dies between any two stores of a batch has returned each chain, or has it in flight', (t) => {
  const size = 4;
  const buffer = new ArrayBuffer(InflightSplit.byteLength(size));
  const tracker = new InflightSplit(buffer, 0, size);
  const ring = new HeapRing(size, { inflight: tracker });
  ring.queue.recover();
  ring.describe(Array.from({ length: size }, (_, i) => ({ address: 0x100 * i, length: 1 })));
  ring.offer(3, 1, 0);
  for (let i = 0; i < 3; i++) ring.pop();
  const { store } = Atomics;
  const clear = tracker['clear'].bind(tracker);
  let deaths = 0;
  const die = () => {
    deaths++;
    const returned = Array.from({ length: ring.usedIndex }, (_, i) => ring.usedEntry(i).id);
    t.true([0, 2].includes(returned.length));
    const found = new InflightSplit(buffer.slice(), 0, size).recover(ring.usedIndex);
    t.deepEqual(
      found,
      [3, 1, 0].filter((head) => !returned.includes(head)),
    );
  };
  t.teardown(() => {
    Atomics.store = store;
  });
  Atomics.store = ((...args: Parameters<typeof store>) => {
    die();
    store(...args);
    die();
  }) as unknown as typeof store;
  tracker['clear'] = (head) => {
    die();
    clear(head);
    die();
  };
  for (const head of [0, 3]) {
    ring.queue.push(head, 0);
    die();
  }
  ring.queue.publish(false);
  Atomics.store = store;
  die();
  // Before and after each of three stores, after each push, and at the end.
  t.is(deaths, 9);
});
