import test from 'ava';
import { cdb10, outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';

const rows: [string, ArrayLike<number>, string][] = [
  ['REZERO UNIT', [0x01, 0, 0, 0, 0, 0], 'GOOD'],
  ['SEEK(6) to the last block', [0x0b, 0, 0x07, 0xff, 0, 0], 'GOOD'],
  ['SEEK(6) past it', [0x0b, 0, 0x08, 0x00, 0, 0], '5/21/00@1'],
  ['SEEK(10) to the last block', cdb10(0x2b, 2047, 0), 'GOOD'],
  ['SEEK(10) past it', cdb10(0x2b, 2048, 0), '5/21/00@2'],
];
for (const [title, cdb, expected] of rows) {
  test(`${title}: ${expected}`, async (t) => {
    const { initiator, backstore } = new Core();
    t.is(outcome(await initiator.send({ cdb })), expected);
    t.is(backstore.log.length, 0);
  });
}

const defects: [string, ArrayLike<number>, number[] | string][] = [
  ['(10), both lists in physical sectors', [0x37, 0, 0x1d, 0, 0, 0, 0, 0, 32, 0], [0, 0x1d, 0, 0]],
  ['(10), no list', [0x37, 0, 0, 0, 0, 0, 0, 0, 32, 0], [0, 0, 0, 0]],
  ['(10), cut off', [0x37, 0, 0x18, 0, 0, 0, 0, 0, 2, 0], [0, 0x18]],
  ['(10), a vendor-specific format', [0x37, 0, 0x1e, 0, 0, 0, 0, 0, 32, 0], '5/24/00@2.2'],
  ['(12), both lists', [0xb7, 0x1b, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], [0, 0x1b, 0, 1, 0, 0, 0, 0]],
  ['(12), a reserved format', [0xb7, 0x07, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], '5/24/00@1.2'],
];
for (const [title, cdb, expected] of defects) {
  test(`READ DEFECT DATA${title}`, async (t) => {
    const result = await new Core().initiator.send({ cdb, dataInLength: 32 });
    if (typeof expected === 'string') t.is(outcome(result), expected);
    else t.deepEqual([...result.dataIn], expected);
  });
}
