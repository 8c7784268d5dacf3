import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { cdb10, cdb12, cdb16, outcome, pattern } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';

const BYTCHK = { ALL: 0x02, RESERVED: 0x04, ONE: 0x06 };
const forms: [string, (lba: number, blocks: number, flags?: number) => Uint8Array, number][] = [
  ['VERIFY(10)', (lba, blocks, flags) => cdb10(0x2f, lba, blocks, flags), 7],
  ['VERIFY(12)', (lba, blocks, flags) => cdb12(0xaf, lba, blocks, flags), 6],
  ['VERIFY(16)', (lba, blocks, flags) => cdb16(0x8f, lba, blocks, flags), 10],
];

/** A disk of 2048 blocks with known content. */
function filled(): Core {
  const core = new Core();
  core.backstore.bytes.set(pattern(core.backstore.byteLength, 3));
  return core;
}

for (const [name, cdb, lengthByte] of forms) {
  const rows: [string, Uint8Array, (disk: Uint8Array) => Uint8Array | undefined, string][] = [
    ['without compare', cdb(0, 100), () => undefined, 'GOOD'],
    ['of the whole disk', cdb(0, 2048), () => undefined, 'GOOD'],
    ['of no blocks', cdb(0, 0), () => undefined, 'GOOD'],
    ['of no blocks at the end', cdb(2048, 0), () => undefined, 'GOOD'],
    ['of no blocks past the end', cdb(2049, 0), () => undefined, '5/21/00@2'],
    ['past the end', cdb(2048, 1), () => undefined, '5/21/00@2'],
    ['with the reserved BYTCHK', cdb(0, 1, BYTCHK.RESERVED), () => undefined, '5/24/00@1.2'],
    ['with VRPROTECT', cdb(0, 1, 0x20), () => undefined, '5/24/00@1.7'],
    ['with DPO', cdb(0, 1, 0x10), () => undefined, 'GOOD'],
    ['with equal data', cdb(4, 3, BYTCHK.ALL), (d) => d.slice(2048, 3584), 'GOOD'],
    ['with no data', cdb(4, 3, BYTCHK.ALL), () => undefined, `5/24/00@${lengthByte}`],
    ['with too little data', cdb(4, 3, BYTCHK.ALL), (d) => d.slice(2048, 3583), `5/24/00@${lengthByte}`],
    ['with equal data for one block', cdb(4, 1, BYTCHK.ONE), (d) => d.slice(2048, 2560), 'GOOD'],
    [
      'with one block that only the first equals',
      cdb(4, 2, BYTCHK.ONE),
      (d) => d.slice(2048, 2560),
      'e/1d/00 i0',
    ],
    [
      'with a byte changed',
      cdb(4, 3, BYTCHK.ALL),
      (d) => {
        const data = d.slice(2048, 3584);
        data[1000] ^= 1;
        return data;
      },
      'e/1d/00 i1000',
    ],
  ];
  for (const [title, bytes, dataOut, expected] of rows) {
    test(`${name} ${title}: ${expected}`, async (t) => {
      const core = filled();
      const result = await core.initiator.send({ cdb: bytes, dataOut: dataOut(core.backstore.bytes) });
      t.is(outcome(result), expected);
      t.is(core.environment.memory.outstanding, 0);
    });
  }
}

test('BYTCHK 11b compares every block with the one that was sent', async (t) => {
  const { initiator, backstore } = filled();
  backstore.bytes.fill(0x5a, 512, 512 * 9);
  const one = new Uint8Array(512).fill(0x5a);
  t.is(outcome(await initiator.send({ cdb: cdb10(0x2f, 1, 8, BYTCHK.ONE), dataOut: one })), 'GOOD');
  backstore.bytes[512 * 8 + 77] = 0;
  t.is(outcome(await initiator.send({ cdb: cdb10(0x2f, 1, 8, BYTCHK.ONE), dataOut: one })), 'e/1d/00 i77');
});

test('a compare longer than one chunk of scratch finds a difference in a later chunk', async (t) => {
  const core = new Core({ byteLength: 2 << 20 });
  const data = core.backstore.bytes.slice();
  data[1_500_000] = 1;
  const result = await core.initiator.send({ cdb: cdb10(0x2f, 0, 4096, BYTCHK.ALL), dataOut: data });
  t.is(outcome(result), 'e/1d/00 i1500000');
  t.is(core.environment.memory.outstanding, 0);
});

test('a block that cannot be read is named', async (t) => {
  const { initiator, backstore } = filled();
  backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR, at: 512 * 33 };
  t.is(outcome(await initiator.send({ cdb: cdb10(0x2f, 30, 10) })), '3/11/00 i33');
});

test('VERIFY never writes', async (t) => {
  const { initiator, backstore } = filled();
  await initiator.send({ cdb: cdb10(0x2f, 0, 100) });
  t.true(backstore.log.every(({ kind }) => kind === OperationKind.READ));
});
