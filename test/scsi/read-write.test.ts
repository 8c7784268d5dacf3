import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { cdb10, cdb12, cdb16, outcome, pattern } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';

const DPO = 0x10;
const FUA = 0x08;
const PROTECT = 0x20;
const { READ, WRITE, FLUSH } = OperationKind;

const cdb6 = (opcode: number, lba: number, blocks: number) => [opcode, lba >> 16, lba >> 8, lba, blocks, 0];

interface Form {
  readonly name: string;
  readonly lengthByte: number;
  readonly read: (lba: number, blocks: number, flags?: number) => Uint8Array;
  readonly write: (lba: number, blocks: number, flags?: number) => Uint8Array;
}

const forms: Form[] = [
  {
    name: '(10)',
    lengthByte: 7,
    read: (lba, blocks, flags) => cdb10(0x28, lba, blocks, flags),
    write: (lba, blocks, flags) => cdb10(0x2a, lba, blocks, flags),
  },
  {
    name: '(12)',
    lengthByte: 6,
    read: (lba, blocks, flags) => cdb12(0xa8, lba, blocks, flags),
    write: (lba, blocks, flags) => cdb12(0xaa, lba, blocks, flags),
  },
  {
    name: '(16)',
    lengthByte: 10,
    read: (lba, blocks, flags) => cdb16(0x88, lba, blocks, flags),
    write: (lba, blocks, flags) => cdb16(0x8a, lba, blocks, flags),
  },
];

for (const { name, lengthByte, read, write } of forms) {
  for (const blockSize of [512, 1024, 2048, 4096]) {
    test(`WRITE${name} then READ${name} returns the same blocks of ${blockSize} bytes`, async (t) => {
      const { initiator } = new Core({ attributes: { block_size: blockSize } });
      const data = pattern(3 * blockSize, 2);
      const written = await initiator.send({ cdb: write(5, 3), dataOut: data });
      t.is(outcome(written), 'GOOD');
      t.is(written.residual, 0);
      const { dataIn, residual } = await initiator.send({ cdb: read(5, 3), dataInLength: 3 * blockSize });
      t.deepEqual(dataIn, data);
      t.is(residual, 0);
    });
  }

  const rows: [string, CoreOptions, [number, number, number?], string][] = [
    ['of the last block', {}, [2047, 1], 'GOOD'],
    ['past the end', {}, [2048, 1], '5/21/00@2'],
    ['over the end', {}, [2047, 2], '5/21/00@2'],
    ['of no blocks', {}, [0, 0], 'GOOD'],
    ['of no blocks at the end', {}, [2048, 0], 'GOOD'],
    ['of no blocks past the end', {}, [2049, 0], '5/21/00@2'],
    ['at the highest LBA', {}, [0xffff_ffff, 1], '5/21/00@2'],
    ['with DPO', {}, [0, 1, DPO], 'GOOD'],
    ['with FUA', {}, [0, 1, FUA], 'GOOD'],
    ['with DPO where it is not offered', { attributes: { emulate_dpo: 0 } }, [0, 1, DPO], '5/24/00@1.4'],
    [
      'with FUA where it is not offered',
      { attributes: { emulate_fua_write: 0 } },
      [0, 1, FUA],
      '5/24/00@1.3',
    ],
    ['with a protect field', {}, [0, 1, PROTECT], '5/24/00@1.7'],
  ];
  for (const [title, options, [lba, blocks, flags], expected] of rows) {
    test(`READ${name} and WRITE${name} ${title}: ${expected}`, async (t) => {
      const core = new Core(options);
      const length = blocks * 512;
      const reading = { cdb: read(lba, blocks, flags), dataInLength: length };
      t.is(outcome(await core.initiator.send(reading)), expected);
      const writing = { cdb: write(lba, blocks, flags), dataOut: pattern(length, 1) };
      t.is(outcome(await core.initiator.send(writing)), expected);
      if (expected !== 'GOOD' || blocks === 0) t.is(core.backstore.log.length, 0);
    });
  }

  test(`WRITE${name} to a read-only disk, or through a read-only mapping, is refused`, async (t) => {
    const readOnly = new Core({ capabilities: { readOnly: true } });
    const masked = new Core();
    masked.lunMap.add(7, masked.disk, true);
    for (const itl of masked.initiator.nexus.itlNexuses()) itl.unitAttentions.clearAll();
    for (const [core, lun] of [
      [readOnly, 0],
      [masked, 7],
    ] as const) {
      const request = { cdb: write(0, 1), lun, dataOut: new Uint8Array(512) };
      t.is(outcome(await core.initiator.send(request)), '7/27/00');
      t.is(core.backstore.log.length, 0);
    }
  });

  if (lengthByte !== 7) {
    test(`READ${name} of more than the maximum transfer length is refused`, async (t) => {
      const core = new Core();
      core.disk.blockCount = 0x1_0000_0000;
      const { maximumTransferLength } = core.disk.limits;
      const result = await core.initiator.send({
        cdb: read(0, maximumTransferLength + 1),
        dataInLength: 512,
      });
      t.is(outcome(result), `5/24/00@${lengthByte}`);
    });
  }
}

test('READ(6) and WRITE(6) move 256 blocks when the length is 0', async (t) => {
  const { initiator, backstore } = new Core();
  const data = pattern(256 * 512, 3);
  t.is(outcome(await initiator.send({ cdb: cdb6(0x0a, 7, 0), dataOut: data })), 'GOOD');
  const { dataIn } = await initiator.send({ cdb: cdb6(0x08, 7, 0), dataInLength: data.length });
  t.deepEqual(dataIn, data);
  t.is(backstore.log[0].length, data.length);
  t.is(outcome(await initiator.send({ cdb: cdb6(0x08, 2048, 1), dataInLength: 512 })), '5/21/00@1');
});

test('an LBA beyond 2^32, and beyond what a Number holds, is taken at its value', async (t) => {
  const core = new Core({ attributes: { block_size: 4096 } });
  core.disk.blockCount = 2 ** 34;
  core.backstore.hold = true;
  void core.initiator.send({ cdb: cdb16(0x88, 2 ** 34 - 1, 1), dataInLength: 4096 });
  t.deepEqual(core.backstore.log, [{ kind: READ, offset: (2 ** 34 - 1) * 4096, length: 4096, fua: false }]);
  for (const lba of [2 ** 34, 2 ** 53, 2 ** 63, 2 ** 64 - 2 ** 11]) {
    t.is(outcome(await core.initiator.send({ cdb: cdb16(0x88, lba, 1), dataInLength: 4096 })), '5/21/00@2');
  }
});

test('a buffer of another size than the range takes what fits, writes whole blocks or nothing, and hears the difference', async (t) => {
  const core = new Core();
  const data = pattern(1024, 1);
  core.backstore.bytes.set(data);
  const sizes: [offered: number, moved: number, residual: number, write: string][] = [
    [0, 0, -1024, 'GOOD'],
    [511, 0, -513, '5/0e/03'],
    [512, 512, -512, 'GOOD'],
    [1000, 0, -24, '5/0e/03'],
    [1024, 1024, 0, 'GOOD'],
    [4096, 1024, 3072, 'GOOD'],
  ];
  for (const [offered, moved, residual, expected] of sizes) {
    const read = await core.initiator.send({ cdb: cdb10(0x28, 0, 2), dataInLength: offered });
    const delivered = Math.min(offered, 1024);
    t.deepEqual([outcome(read), read.transferred, read.residual], ['GOOD', delivered, residual]);
    t.deepEqual(read.dataIn, data.slice(0, delivered));
    const write = await core.initiator.send({
      cdb: cdb10(0x2a, 100, 2),
      dataOut: pattern(offered, 1),
    });
    t.deepEqual([outcome(write), write.transferred, write.residual], [expected, moved, residual]);
  }
});

const durability: [string, CoreOptions, Uint8Array, [number, boolean][]][] = [
  ['WRITE', {}, cdb10(0x2a, 0, 1), [[WRITE, false]]],
  ['WRITE with FUA', {}, cdb10(0x2a, 0, 1, FUA), [[WRITE, true]]],
  [
    'WRITE without a write cache',
    { attributes: { emulate_write_cache: 0 } },
    cdb10(0x2a, 0, 1),
    [[WRITE, true]],
  ],
  ['READ', {}, cdb10(0x28, 0, 1), [[READ, false]]],
  // What it returns must be on stable storage.
  [
    'READ with FUA',
    {},
    cdb10(0x28, 0, 1, FUA),
    [
      [FLUSH, false],
      [READ, false],
    ],
  ],
  [
    'READ with FUA, no volatile cache',
    { capabilities: { volatileCache: false } },
    cdb10(0x28, 0, 1, FUA),
    [[READ, false]],
  ],
];
for (const [title, options, cdb, expected] of durability) {
  test(`what reaches the backstore: ${title}`, async (t) => {
    const core = new Core(options);
    const buffers = cdb[0] === 0x28 ? { dataInLength: 512 } : { dataOut: new Uint8Array(512) };
    t.is(outcome(await core.initiator.send({ cdb, ...buffers })), 'GOOD');
    t.deepEqual(
      core.backstore.log.map(({ kind, fua }) => [kind, kind === WRITE && fua]),
      expected,
    );
  });
}

test('a flush that fails fails the READ with FUA', async (t) => {
  const core = new Core();
  core.backstore.fault = { kind: FLUSH, outcome: Outcome.MEDIUM_ERROR };
  const result = await core.initiator.send({ cdb: cdb10(0x28, 3, 1, FUA), dataInLength: 512 });
  t.is(outcome(result), '3/0c/00');
});

const failures: [string, Outcome, string, string][] = [
  ['a medium error', Outcome.MEDIUM_ERROR, '3/11/00 i12', '3/0c/00 i12'],
  ['a backing that is gone', Outcome.GONE, '3/11/00 i12', '3/0c/00 i12'],
  ['a full backing', Outcome.NO_SPACE, '7/27/07 i12', '7/27/07 i12'],
  ['a backing that became read-only', Outcome.WRITE_PROTECTED, '7/27/00', '7/27/00'],
  ['a backing that does not answer', Outcome.BUSY, 'BUSY', 'BUSY'],
];
for (const [title, fault, reading, writing] of failures) {
  test(`${title} names the first block in trouble`, async (t) => {
    const core = new Core();
    core.backstore.fault = { kind: READ, outcome: fault, at: 12 * 512 };
    const read = await core.initiator.send({ cdb: cdb10(0x28, 10, 4), dataInLength: 2048 });
    t.is(outcome(read), reading);
    t.is(read.transferred, 1024);
    core.backstore.fault = { kind: WRITE, outcome: fault, at: 12 * 512 };
    const dataOut = new Uint8Array(2048);
    t.is(outcome(await core.initiator.send({ cdb: cdb10(0x2a, 10, 4), dataOut })), writing);
  });
}

test('an LBA that does not fit into fixed-format sense data is reported in descriptor format only', async (t) => {
  const core = new Core();
  core.disk.blockCount = 2 ** 40;
  const read = { cdb: cdb16(0x88, 2 ** 33, 1), dataInLength: 512 };
  t.is(outcome(await core.initiator.send(read)), '3/11/00');
  core.disk.control.dSense = true;
  t.is(outcome(await core.initiator.send(read)), `3/11/00 i${2 ** 33}`);
});
