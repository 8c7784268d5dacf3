import test from 'ava';
import fc from 'fast-check';
import { InflightPacked } from '../../../src/fabrics/vhost-user/inflight-packed.ts';
import { PackedRegion } from '../../../src/fabrics/vhost-user/inflight-spec.ts';
import { PackedFlag } from '../../../src/fabrics/vhost-user/packed-virtqueue-spec.ts';
import { ProtocolError, VirtqueueError } from '../../../src/fabrics/vhost-user/protocol-error.ts';
import { PackedHeapRing } from '../../support/vhost-user/packed-heap-ring.ts';

const SIZE = 8;

/** A ring with its tracker on copies of guest memory and buffer, as another process finds them. */
function survivor(bytes: Uint8Array, buffer: ArrayBuffer): { ring: PackedHeapRing; heads: number[] } {
  const inflight = new InflightPacked(buffer.slice(), 0, SIZE);
  const ring = new PackedHeapRing(SIZE, { inflight }, bytes.slice());
  const heads = ring.queue.recover().map((entry) => {
    ring.queue.resubmit(entry, ring.chain);
    return ring.chain.head;
  });
  return { ring, heads };
}

test('after a crash between any two steps, exactly the unfinished chains are found, oldest first', (t) => {
  const step = fc.record({
    action: fc.constantFrom('offer', 'take', 'complete', 'publish', 'crash'),
    choice: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const buffer = new ArrayBuffer(InflightPacked.byteLength(SIZE));
      let ring = new PackedHeapRing(SIZE, { inflight: new InflightPacked(buffer, 0, SIZE) });
      t.deepEqual(ring.queue.recover(), []);
      let place = 0;
      let wrap = true;
      let room = SIZE;
      const sizes = new Map<number, number>();
      let offered: number[] = [];
      let open: number[] = [];
      let completed: number[] = [];
      const check = (expected: readonly number[]) => {
        const { ring: other, heads } = survivor(ring.bytes, buffer);
        t.deepEqual(heads, expected);
        // What was offered and not taken is still there.
        for (const id of offered) t.is(other.pop()?.head, id);
        t.is(other.pop(), undefined);
      };
      for (const { action, choice } of steps) {
        const ids = Array.from({ length: SIZE }, (_, i) => i).filter((id) => !sizes.has(id));
        const running = open.filter((id) => !completed.includes(id));
        if (action === 'offer' && room > 0 && ids.length > 0) {
          const count = Math.min(room, 1 + (choice % 3));
          const id = ids[choice % ids.length];
          const chain = Array.from({ length: count }, (_, i) => ({
            address: 0x100 * (i + 1),
            length: i + 1,
            id,
            flags: i === count - 1 ? 0 : PackedFlag.NEXT,
          }));
          ring.describe(chain, place, wrap);
          place += count;
          if (place >= SIZE) {
            place -= SIZE;
            wrap = !wrap;
          }
          room -= count;
          sizes.set(id, count);
          offered.push(id);
        } else if (action === 'take' && offered.length > 0) {
          t.is(ring.pop()?.head, offered[0]);
          open.push(offered[0]);
          offered = offered.slice(1);
        } else if (action === 'complete' && running.length > 0) {
          const id = running[choice % running.length];
          ring.queue.push(id, 0);
          completed.push(id);
        } else if (action === 'publish' && completed.length > 0) {
          ring.queue.publish(false);
          open = open.filter((id) => !completed.includes(id));
          for (const id of completed) {
            room += sizes.get(id)!;
            sizes.delete(id);
          }
          completed = [];
        } else if (action === 'crash') {
          const inflight = new InflightPacked(buffer, 0, SIZE);
          ring = new PackedHeapRing(SIZE, { inflight }, ring.bytes);
          for (const entry of ring.queue.recover()) ring.queue.resubmit(entry, ring.chain);
          completed = [];
        }
        check(open);
      }
    }),
    { numRuns: 300 },
  );
});

test('a batch that the driver has seen is not repeated, although the process died before it took note', (t) => {
  const buffer = new ArrayBuffer(InflightPacked.byteLength(SIZE));
  const tracker = new InflightPacked(buffer, 0, SIZE);
  const ring = new PackedHeapRing(SIZE, { inflight: tracker });
  ring.queue.recover();
  ring.describe([
    { address: 1, length: 1, id: 0 },
    { address: 1, length: 1, id: 1 },
  ]);
  ring.pop();
  ring.pop();
  ring.queue.push(1, 0);
  const beforeCommit = { buffer: buffer.slice() };
  tracker.commit = () => {
    beforeCommit.buffer = buffer.slice();
  };
  ring.queue.publish(false);
  t.deepEqual(survivor(ring.bytes, beforeCommit.buffer).heads, [0]);
});

const BOTH = PackedFlag.AVAIL | PackedFlag.USED;

/** What a driver finds used from `start` on, each with so many descriptors as `sizes` says by buffer id. */
function seenBy(ring: PackedHeapRing, sizes: readonly number[], start: number): number[] {
  const seen: number[] = [];
  for (let place = start; place < start + SIZE; ) {
    const { id, flags } = ring.used(place % SIZE);
    if ((flags & BOTH) !== (place < SIZE ? BOTH : 0)) break;
    seen.push(id);
    place += sizes[id];
  }
  return seen;
}

test('a process that dies between any two stores of a batch leaves nothing that a driver could take twice', (t) => {
  const all = (count: number) => [...Array(count).keys()];
  const case_ = fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 2, maxLength: 4 }).chain((sizes) =>
    fc.record({
      sizes: fc.constant(sizes),
      shown: fc.shuffledSubarray(all(sizes.length), { minLength: 1 }),
      after: fc.shuffledSubarray(all(sizes.length), { minLength: sizes.length }),
      start: fc.integer({ min: 0, max: SIZE - 1 }),
    }),
  );
  const { store } = Atomics;
  t.teardown(() => {
    Atomics.store = store;
  });
  const property = fc.property(case_, ({ sizes, shown, after, start }) => {
    const buffer = new ArrayBuffer(InflightPacked.byteLength(SIZE));
    const base = (start | 0x8000) * 0x1_0001;
    const ring = new PackedHeapRing(SIZE, { inflight: new InflightPacked(buffer, 0, SIZE), base });
    ring.queue.recover();
    const chains = sizes.flatMap((size, id) =>
      all(size).map((i) => ({ length: 1, id, flags: i === size - 1 ? 0 : PackedFlag.NEXT })),
    );
    // Places before the start were used before.
    ring.describe(all(start).map(() => ({ flags: BOTH })));
    ring.describe(chains, start);
    for (const _ of sizes) ring.pop();
    for (const id of shown) ring.queue.push(id, 0);
    const deaths = [{ bytes: ring.bytes.slice(), buffer: buffer.slice() }];
    Atomics.store = ((...args: Parameters<typeof store>) => {
      store(...args);
      deaths.push({ bytes: ring.bytes.slice(), buffer: buffer.slice() });
    }) as unknown as typeof store;
    ring.queue.publish(false);
    Atomics.store = store;
    for (const death of deaths) {
      const { ring: later, heads } = survivor(death.bytes, death.buffer);
      const done = seenBy(later, sizes, start);
      for (const id of after.filter((each) => heads.includes(each))) {
        later.queue.push(id, 0);
        later.queue.publish(false);
        done.push(id);
        t.deepEqual(seenBy(later, sizes, start), done);
      }
      t.deepEqual(
        done.sort((a, b) => a - b),
        all(sizes.length),
      );
    }
  });
  t.notThrows(() => fc.assert(property, { numRuns: 100 }));
});

test('however often the ring has wrapped, another process goes on at the same place', (t) => {
  const buffer = new ArrayBuffer(InflightPacked.byteLength(SIZE));
  const ring = new PackedHeapRing(SIZE, { inflight: new InflightPacked(buffer, 0, SIZE) });
  ring.queue.recover();
  for (let i = 0; i < 5 * SIZE; i++) {
    ring.describe([{ length: 1, id: i % SIZE }], i % SIZE, Math.floor(i / SIZE) % 2 === 0);
    ring.pop();
    t.deepEqual(survivor(ring.bytes, buffer).heads, [i % SIZE]);
    ring.queue.push(i % SIZE, 0);
    ring.queue.publish(false);
    const { ring: later, heads } = survivor(ring.bytes, buffer);
    t.deepEqual(heads, []);
    t.is(later.queue.base, ring.queue.base);
  }
});

test('any bytes in the buffer give chains inside the ring or an error of the protocol', (t) => {
  const length = InflightPacked.byteLength(SIZE);
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: length, maxLength: length }),
      fc.nat(1),
      fc.boolean(),
      (bytes, version, small) => {
        // Small numbers get further.
        const buffer = (small ? bytes.map((byte) => byte & 0x07) : bytes.slice()).buffer;
        const view = new DataView(buffer);
        view.setUint16(8, version, true);
        const inflight = new InflightPacked(buffer, 0, SIZE);
        const ring = new PackedHeapRing(SIZE, { inflight });
        try {
          for (const entry of ring.queue.recover()) ring.queue.resubmit(entry, ring.chain);
          ring.describe(
            [{ address: 1, length: 1, id: 7 }],
            ring.queue.base & 0x7fff,
            (ring.queue.base & 0x8000) !== 0,
          );
          ring.pop();
        } catch (error) {
          t.true(error instanceof ProtocolError || error instanceof VirtqueueError, String(error));
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test('a chain for which the buffer has no free entry is not in flight: nobody would ever give it back', (t) => {
  const buffer = new ArrayBuffer(InflightPacked.byteLength(SIZE));
  new PackedHeapRing(SIZE, { inflight: new InflightPacked(buffer, 0, SIZE) }).queue.recover();
  new DataView(buffer).setUint16(PackedRegion.OLD_FREE_HEAD, 0xffff, true);
  const ring = new PackedHeapRing(SIZE, { inflight: new InflightPacked(buffer, 0, SIZE) });
  ring.queue.recover();
  ring.describe([{ address: 1, length: 1, id: 0 }]);
  t.throws(() => ring.pop(), { instanceOf: VirtqueueError });
  t.is(ring.queue.inFlight, 0);
});
