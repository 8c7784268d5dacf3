/** The parts of the mock that need no back-end: bytes, allocation, layouts, event arithmetic. */
import test from 'ava';
import fc from 'fast-check';
import { ByteBuilder } from './byte-builder.ts';
import { cut, LAYOUTS } from './descriptor-layout.ts';
import { needsEvent } from './driver-queue.ts';
import { FreeList } from './free-list.ts';
import { lunField } from './virtio-scsi-driver.ts';

test('the byte builder writes little-endian fields', (t) => {
  const bytes = new ByteBuilder()
    .u8(1)
    .u16(0x0203)
    .u32(0x8405_0607)
    .u64(2n ** 63n + 1n)
    .zeroes(2)
    .build();
  t.deepEqual([...bytes], [1, 3, 2, 7, 6, 5, 0x84, 1, 0, 0, 0, 0, 0, 0, 0x80, 0, 0]);
});

test('ranges of the free list never overlap and all come back', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 300 }), fc.boolean()), { maxLength: 60 }),
      (steps) => {
        const list = new FreeList([
          { start: 4096, end: 8192 },
          { start: 16384, end: 20480 },
        ]);
        const held: [number, number][] = [];
        for (const [length, releaseOne] of steps) {
          const start = list.allocate(length, 16);
          if (start % 16 !== 0) return false;
          if (held.some(([from, size]) => start < from + size && from < start + length)) return false;
          held.push([start, length]);
          if (releaseOne) list.release(held.shift()![0]);
        }
        for (const [start] of held) list.release(start);
        return list.allocate(4096, 16) === 4096 && list.allocate(4096, 16) === 16384;
      },
    ),
  );
  t.throws(() => new FreeList([{ start: 0, end: 16 }]).allocate(17, 1), { instanceOf: RangeError });
  t.throws(() => new FreeList([{ start: 0, end: 16 }]).release(0), { instanceOf: RangeError });
});

for (const [name, layout] of Object.entries(LAYOUTS)) {
  test(`layout ${name} covers every byte of a request once`, (t) => {
    for (const data of [0, 1, 512, 700]) {
      const elements = cut(1000, layout(51, data), true);
      t.true(elements.every(({ length }) => length > 0));
      t.is(elements[0].address, 1000);
      const end = elements.reduce(
        (at, { address, length }) => (address === at ? at + length : Number.NaN),
        1000,
      );
      t.is(end, 1000 + 51 + data);
    }
  });
}

for (const [event, now, old, wanted] of [
  [0, 1, 0, true],
  [0, 5, 1, false],
  [4, 5, 1, true],
  [5, 5, 1, false],
  [0xffff, 0, 0xffff, true],
  [0x8000, 1, 0, false],
] as const) {
  test(`an index going from ${old} to ${now} passes event ${event}: ${wanted}`, (t) => {
    t.is(needsEvent(event, now, old), wanted);
  });
}

test('the LUN field is a single level structure', (t) => {
  t.deepEqual([...lunField(3, 0x1234)], [1, 3, 0x52, 0x34, 0, 0, 0, 0]);
});
