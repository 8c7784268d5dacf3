import test from 'ava';
import fc from 'fast-check';
import { InflightSplit } from '../../../src/fabrics/vhost-user/inflight-split.ts';
import { ProtocolError } from '../../../src/fabrics/vhost-user/protocol-error.ts';

const SIZE = 8;

/** A tracker on a copy of the buffer, as another process finds it. */
function survivor(buffer: ArrayBuffer): InflightSplit {
  return new InflightSplit(buffer.slice(), 0, SIZE);
}

test('after a crash between any two steps, exactly the unfinished chains are found, oldest first', (t) => {
  const step = fc.record({
    action: fc.constantFrom('take', 'complete', 'publish', 'crash'),
    choice: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), fc.nat(0xffff), (steps, start) => {
      const buffer = new ArrayBuffer(InflightSplit.byteLength(SIZE));
      let tracker = new InflightSplit(buffer, 0, SIZE);
      let usedIndex = start;
      t.deepEqual(tracker.recover(usedIndex), []);
      /** Heads taken and not shown to the driver as used, oldest first. */
      let open: number[] = [];
      let completed: number[] = [];
      const check = (used: number, expected: number[]) =>
        t.deepEqual(survivor(buffer).recover(used), expected);
      for (const { action, choice } of steps) {
        const running = open.filter((head) => !completed.includes(head));
        const free = Array.from({ length: SIZE }, (_, i) => i).filter((head) => !open.includes(head));
        if (action === 'take' && free.length > 0) {
          const head = free[choice % free.length];
          tracker.take(head);
          open.push(head);
        } else if (action === 'complete' && running.length > 0) {
          const head = running[choice % running.length];
          tracker.complete(head);
          completed.push(head);
        } else if (action === 'publish' && completed.length > 0) {
          usedIndex = (usedIndex + completed.length) & 0xffff;
          open = open.filter((head) => !completed.includes(head));
          check(usedIndex, open);
          tracker.commit(usedIndex);
          completed = [];
        } else if (action === 'crash') {
          tracker = new InflightSplit(buffer, 0, SIZE);
          t.deepEqual(tracker.recover(usedIndex), open);
          completed = [];
        }
        check(usedIndex, open);
      }
    }),
    { numRuns: 300 },
  );
});

test('any bytes in the buffer give heads inside the ring or a ProtocolError', (t) => {
  const length = InflightSplit.byteLength(SIZE);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: length, maxLength: length }), fc.nat(1), (bytes, version) => {
      const buffer = bytes.slice().buffer;
      new DataView(buffer).setUint16(8, version, true);
      try {
        const heads = new InflightSplit(buffer, 0, SIZE).recover(0);
        t.true(heads.every((head) => head < SIZE));
        t.is(new Set(heads).size, heads.length);
      } catch (error) {
        t.true(error instanceof ProtocolError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test('a buffer of a later version is refused', (t) => {
  const buffer = new ArrayBuffer(InflightSplit.byteLength(SIZE));
  new DataView(buffer).setUint16(8, 2, true);
  t.throws(() => new InflightSplit(buffer, 0, SIZE).recover(0), { instanceOf: ProtocolError });
});
