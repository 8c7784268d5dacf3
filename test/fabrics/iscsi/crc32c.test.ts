import test from 'ava';
import fc from 'fast-check';
import { crc32c, crc32cByTable } from '../../../src/fabrics/iscsi/crc32c.ts';

// RFC 7143 appendix B.4 (RFC 3720 B.4): 32 bytes each.
const rows: [title: string, bytes: Uint8Array, crc: number][] = [
  ['zeroes', new Uint8Array(32), 0x8a9136aa],
  ['ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['incrementing bytes', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['decrementing bytes', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
];

for (const [title, bytes, crc] of rows)
  test(`the RFC's example of ${title}`, (t) => t.is(crc32c(bytes), crc));

test('a CRC may be computed in parts', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 }), (a, b) => {
      return crc32c(b, 0, b.length, crc32c(a)) === crc32c(Buffer.concat([a, b]));
    }),
  );
  t.pass();
});

test('processors without the instruction get the same from tables', (t) => {
  const bytes = Uint8Array.from({ length: 1003 }, (_, i) => i * 7);
  for (const [start, end] of [
    [0, 0],
    [3, 8],
    [0, 1003],
    [5, 1000],
  ] as const)
    t.is(crc32cByTable(bytes, start, end, 0x1234), crc32c(bytes, start, end, 0x1234));
});
