import test from 'ava';
import fc from 'fast-check';
import { IscsiProtocolError } from '../../../src/fabrics/iscsi/protocol-error.ts';
import { formatText, parseText } from '../../../src/fabrics/iscsi/text.ts';

test('keys keep their order and values may hold "="', (t) => {
  const pairs: [string, string][] = [
    ['InitiatorName', 'iqn.2026-01.a:b'],
    ['X-key', 'a=b'],
    ['Empty', ''],
  ];
  t.deepEqual([...parseText(formatText(pairs))], pairs);
});

const bad: [title: string, text: string][] = [
  ['no "="', 'InitiatorName\0'],
  ['an empty key', '=x\0'],
  ['a key given twice', 'A=1\0A=2\0'],
  ['a key of 64 characters', `${'k'.repeat(64)}=1\0`],
  ['more than 64 KiB', `A=${'x'.repeat(65536)}\0`],
];
for (const [title, text] of bad) {
  test(`${title} is refused`, (t) => {
    t.throws(() => parseText(Buffer.from(text)), { instanceOf: IscsiProtocolError });
  });
}

test('any bytes are keys or an IscsiProtocolError', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        parseText(bytes);
        return true;
      } catch (error) {
        return error instanceof IscsiProtocolError;
      }
    }),
  );
  t.pass();
});
