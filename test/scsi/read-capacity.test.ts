import test from 'ava';
import { u32, u64 } from '../../src/scsi/bytes.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';

const CAPACITY_10 = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const capacity16 = (allocation: number) => [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, allocation, 0, 0];

test('READ CAPACITY(10) returns the last LBA and the block size', async (t) => {
  const { initiator } = new Core();
  const { dataIn } = await initiator.send({ cdb: CAPACITY_10, dataInLength: 8 });
  t.is(u32(dataIn, 0), 2047);
  t.is(u32(dataIn, 4), 512);
});

test('READ CAPACITY(10) sends to READ CAPACITY(16) beyond 2^32 blocks', async (t) => {
  const core = new Core();
  core.disk.blockCount = 0x1_2345_6789;
  const short = await core.initiator.send({ cdb: CAPACITY_10, dataInLength: 8 });
  t.is(u32(short.dataIn, 0), 0xffff_ffff);
  const long = await core.initiator.send({ cdb: capacity16(32), dataInLength: 32 });
  t.is(u64(long.dataIn, 0), 0x1_2345_6788);
});

const dresses: [string, CoreOptions, { exponent: number; thin: number }][] = [
  ['thin, zeroes after unmap', {}, { exponent: 0, thin: 0xc0 }],
  [
    'thin, content after unmap unknown',
    { capabilities: { unmapReadsZero: false } },
    { exponent: 0, thin: 0x80 },
  ],
  ['LBPRZ turned off', { attributes: { unmap_zeroes_data: 0 } }, { exponent: 0, thin: 0x80 }],
  ['no unmap in the backstore', { capabilities: { unmap: false } }, { exponent: 0, thin: 0 }],
  ['unmap turned off', { attributes: { emulate_tpu: 0, emulate_tpws: 0 } }, { exponent: 0, thin: 0 }],
  ['512e', { capabilities: { physicalBlockSize: 4096 } }, { exponent: 3, thin: 0xc0 }],
  [
    '4Kn',
    { attributes: { block_size: 4096 }, capabilities: { physicalBlockSize: 4096 } },
    { exponent: 0, thin: 0xc0 },
  ],
];
for (const [title, options, { exponent, thin }] of dresses) {
  test(`READ CAPACITY(16) tells the truth: ${title}`, async (t) => {
    const { initiator, disk } = new Core(options);
    const { dataIn, residual } = await initiator.send({ cdb: capacity16(32), dataInLength: 32 });
    t.is(residual, 0);
    t.is(u64(dataIn, 0), disk.blockCount - 1);
    t.is(u32(dataIn, 8), disk.blockSize);
    t.is(dataIn[13], exponent);
    t.is(dataIn[14], thin);
  });
}

test('READ CAPACITY(16) cuts its data to the allocation length', async (t) => {
  const { initiator } = new Core();
  t.is((await initiator.send({ cdb: capacity16(12), dataInLength: 32 })).dataIn.length, 12);
  const nothing = await initiator.send({ cdb: capacity16(0), dataInLength: 32 });
  t.is(outcome(nothing), 'GOOD');
  t.is(nothing.dataIn.length, 0);
});
