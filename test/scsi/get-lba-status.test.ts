import test from 'ava';
import { u32, u64 } from '../../src/scsi/bytes.ts';
import { cdb10, outcome, pattern } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';

const MAPPED = 0;
const DEALLOCATED = 1;

function cdb(lba: number, allocation: number): number[] {
  return [0x9e, 0x12, 0, 0, 0, 0, 0, 0, lba >> 8, lba & 0xff, 0, 0, allocation >> 8, allocation & 0xff, 0, 0];
}

/** [LBA, blocks, status] of every descriptor. */
async function status(core: Core, lba: number, allocation = 1024): Promise<number[][]> {
  const result = await core.initiator.send({ cdb: cdb(lba, allocation), dataInLength: allocation });
  const { dataIn } = result;
  const end = Math.min(4 + u32(dataIn, 0), dataIn.length);
  const descriptors: number[][] = [];
  for (let at = 8; at + 16 <= end; at += 16) {
    descriptors.push([u64(dataIn, at), u32(dataIn, at + 8), dataIn[at + 12]]);
  }
  return descriptors;
}

/** Blocks 10 to 19 and 30 are written. */
async function sparse(options: CoreOptions = {}): Promise<Core> {
  const core = new Core(options);
  await core.initiator.send({ cdb: cdb10(0x2a, 10, 10), dataOut: pattern(5120, 1) });
  await core.initiator.send({ cdb: cdb10(0x2a, 30, 1), dataOut: pattern(512, 1) });
  return core;
}

const all = [
  [0, 10, DEALLOCATED],
  [10, 10, MAPPED],
  [20, 10, DEALLOCATED],
  [30, 1, MAPPED],
  [31, 2017, DEALLOCATED],
];
const rows: [string, number, number, number[][]][] = [
  ['from the start', 0, 1024, all],
  ['from inside a run', 15, 1024, [[15, 5, MAPPED], ...all.slice(2)]],
  ['with room for two', 0, 8 + 32, all.slice(0, 2)],
  ['with room for one and a half', 0, 8 + 24, all.slice(0, 1)],
  ['of the last block', 2047, 1024, [[2047, 1, DEALLOCATED]]],
];
for (const [title, lba, allocation, expected] of rows) {
  test(`GET LBA STATUS ${title}`, async (t) => {
    t.deepEqual(await status(await sparse(), lba, allocation), expected);
  });
}

test('UNMAP deallocates, WRITE maps again', async (t) => {
  const core = await sparse();
  const list = new Uint8Array(24);
  list.set([0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 3]);
  await core.initiator.send({ cdb: [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  t.deepEqual(await status(core, 10, 8 + 48), [
    [10, 2, MAPPED],
    [12, 3, DEALLOCATED],
    [15, 5, MAPPED],
  ]);
});

test('a block of which a part is mapped is mapped', async (t) => {
  const core = new Core({ attributes: { block_size: 4096 } });
  core.backstore.extent = (offset) =>
    offset < 6144 ? { mapped: false, end: 6144 } : { mapped: true, end: core.backstore.byteLength };
  t.deepEqual(await status(core, 0), [
    [0, 1, DEALLOCATED],
    [1, 255, MAPPED],
  ]);
});

test('a thick disk is mapped all over', async (t) => {
  t.deepEqual(await status(await sparse({ capabilities: { unmap: false } }), 5), [[5, 2043, MAPPED]]);
});

test('an LBA past the end is refused, and nothing is sent beyond the allocation length', async (t) => {
  const core = await sparse();
  t.is(outcome(await core.initiator.send({ cdb: cdb(2048, 24), dataInLength: 24 })), '5/21/00@2');
  t.is((await core.initiator.send({ cdb: cdb(0, 4), dataInLength: 24 })).dataIn.length, 4);
});
