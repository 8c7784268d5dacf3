import test from 'ava';
import fc from 'fast-check';
import { formatSize, parseSize } from '../../src/target/size.ts';

const rows: [text: string, bytes: number | undefined][] = [
  ['512', 512],
  ['64k', 65536],
  ['1M', 1048576],
  ['10GiB', 10 * 2 ** 30],
  ['1tb', 2 ** 40],
  [' 2G ', 2 ** 31],
  ['', undefined],
  ['G', undefined],
  ['1.5G', undefined],
  ['-1', undefined],
  ['9007199254740993', undefined],
  ['99999999P', undefined],
];

for (const [text, bytes] of rows) {
  test(`"${text}" is ${bytes ?? 'no size'}`, (t) => t.is(parseSize(text), bytes));
}

test('sizes are shown in the unit that people would use', (t) => {
  t.deepEqual([511, 1536, 10 * 2 ** 30, 2 ** 41].map(formatSize), [
    '511 bytes',
    '1.5 KiB',
    '10 GiB',
    '2 TiB',
  ]);
});

test('parsing any text gives a whole number of bytes or nothing', (t) => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const bytes = parseSize(text);
      return bytes === undefined || Number.isSafeInteger(bytes);
    }),
  );
  t.pass();
});
