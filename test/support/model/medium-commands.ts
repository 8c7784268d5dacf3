/** Commands that read, write and compare blocks. */
import fc from 'fast-check';
import { putU16, putU32, putU64 } from '../../../src/scsi/bytes.ts';
import { Sense } from '../../../src/scsi/sense-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { BLOCK, BLOCKS, type Nature } from './disk-model.ts';
import { fails, GOOD } from './expected.ts';
import { cdb, type ModelCommand } from './model-command.ts';

const OUT_OF_RANGE = fails(Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE);
const READS: Nature = { access: 'read' };
const WRITES: Nature = { access: 'write', writes: true };

/** `blocks` blocks of few values, so that comparisons succeed often enough. */
function pattern(seed: number, blocks: number): Uint8Array {
  const data = new Uint8Array(blocks * BLOCK);
  for (let i = 0; i < blocks; i++)
    data.fill([0x00, 0x55, 0xaa, 0xff][(seed + i) % 4], i * BLOCK, (i + 1) * BLOCK);
  return data;
}

/** A CDB of the common form of that length: flags, LBA, number of blocks. */
function accessCdb(opcode: number, length: number, lba: number, blocks: number): Uint8Array {
  const result = cdb(length, opcode);
  if (length === 16) putU64(result, 2, lba);
  else putU32(result, 2, lba);
  if (length === 10) putU16(result, 7, blocks);
  else putU32(result, length === 16 ? 10 : 6, blocks);
  return result;
}

const lba = fc.nat(BLOCKS + 2);
const count = fc.nat(6);
const seed = fc.nat(3);
/** Opcodes of the (10), (12) and (16) forms. */
const form = (ten: number, twelve: number, sixteen: number) =>
  fc.constantFrom<[number, number]>([ten, 10], [twelve, 12], [sixteen, 16]);

const read = fc.tuple(form(0x28, 0xa8, 0x88), lba, count).map(
  ([[opcode, length], at, blocks]): ModelCommand => ({
    text: `READ(${length}) ${at}+${blocks}`,
    request: { cdb: accessCdb(opcode, length, at, blocks), dataInLength: blocks * BLOCK },
    nature: READS,
    perform: (disk) => {
      const data = disk.range(at, blocks);
      return data === undefined ? OUT_OF_RANGE : { status: Status.GOOD, data: data.slice() };
    },
  }),
);

const write = fc.tuple(form(0x2a, 0xaa, 0x8a), lba, count, seed).map(
  ([[opcode, length], at, blocks, first]): ModelCommand => ({
    text: `WRITE(${length}) ${at}+${blocks} of ${first}`,
    request: { cdb: accessCdb(opcode, length, at, blocks), dataOut: pattern(first, blocks) },
    nature: WRITES,
    perform: (disk) => {
      const range = disk.range(at, blocks);
      range?.set(pattern(first, blocks));
      return range === undefined ? OUT_OF_RANGE : GOOD;
    },
  }),
);

const writeSame = fc
  .tuple(fc.constantFrom<[number, number]>([0x41, 10], [0x93, 16]), lba, count, seed, fc.boolean())
  .map(([[opcode, length], at, blocks, first, unmap]): ModelCommand => {
    const bytes = accessCdb(opcode, length, at, blocks);
    if (unmap) bytes[1] = 0x08;
    return {
      text: `WRITE SAME(${length}) ${at}+${blocks} of ${first}${unmap ? ' UNMAP' : ''}`,
      request: { cdb: bytes, dataOut: pattern(first, 1) },
      nature: WRITES,
      perform: (disk) => {
        const range = at < BLOCKS ? disk.range(at, blocks === 0 ? BLOCKS - at : blocks) : undefined;
        range?.fill(pattern(first, 1)[0]);
        return range === undefined ? OUT_OF_RANGE : GOOD;
      },
    };
  });

const unmap = fc.array(fc.tuple(lba, count), { maxLength: 3 }).map((extents): ModelCommand => {
  const list = new Uint8Array(8 + 16 * extents.length);
  putU16(list, 0, list.length - 2);
  putU16(list, 2, 16 * extents.length);
  for (const [i, [at, blocks]] of extents.entries()) {
    putU64(list, 8 + 16 * i, at);
    putU32(list, 16 + 16 * i, blocks);
  }
  return {
    text: `UNMAP ${extents.map((extent) => extent.join('+')).join(', ')}`,
    request: { cdb: cdb(10, 0x42, 0, 0, 0, 0, 0, 0, 0, list.length), dataOut: list },
    nature: WRITES,
    perform: (disk) => {
      const ranges = extents.map(([at, blocks]) => disk.range(at, blocks));
      if (ranges.includes(undefined)) return OUT_OF_RANGE;
      for (const range of ranges) range!.fill(0);
      return GOOD;
    },
  };
});

const compareAndWrite = fc
  .tuple(lba, count, seed, seed)
  .map(([at, blocks, expected, wanted]): ModelCommand => {
    const bytes = cdb(16, 0x89);
    putU64(bytes, 2, at);
    bytes[13] = blocks;
    return {
      text: `COMPARE AND WRITE ${at}+${blocks} from ${expected} to ${wanted}`,
      request: {
        cdb: bytes,
        dataOut: Uint8Array.of(...pattern(expected, blocks), ...pattern(wanted, blocks)),
      },
      nature: WRITES,
      perform: (disk) => {
        const range = disk.range(at, blocks);
        if (range === undefined) return OUT_OF_RANGE;
        const difference = firstDifference(range, pattern(expected, blocks));
        if (difference >= 0) return fails(Sense.MISCOMPARE_DURING_VERIFY, difference);
        range.set(pattern(wanted, blocks));
        return GOOD;
      },
    };
  });

const orwrite = fc.tuple(lba, count, seed).map(
  ([at, blocks, first]): ModelCommand => ({
    text: `ORWRITE(16) ${at}+${blocks} of ${first}`,
    request: { cdb: accessCdb(0x8b, 16, at, blocks), dataOut: pattern(first, blocks) },
    nature: WRITES,
    perform: (disk) => {
      const range = disk.range(at, blocks);
      for (const [i, byte] of pattern(first, blocks).entries()) if (range !== undefined) range[i] |= byte;
      return range === undefined ? OUT_OF_RANGE : GOOD;
    },
  }),
);

const verify = fc
  .tuple(form(0x2f, 0xaf, 0x8f), lba, count, seed)
  .map(([[opcode, length], at, blocks, first]): ModelCommand => {
    const bytes = accessCdb(opcode, length, at, blocks);
    bytes[1] = 0x02;
    return {
      text: `VERIFY(${length}) ${at}+${blocks} against ${first}`,
      request: { cdb: bytes, dataOut: pattern(first, blocks) },
      nature: READS,
      perform: (disk) => {
        const range = disk.range(at, blocks);
        if (range === undefined) return OUT_OF_RANGE;
        const difference = firstDifference(range, pattern(first, blocks));
        return difference < 0 ? GOOD : fails(Sense.MISCOMPARE_DURING_VERIFY, difference);
      },
    };
  });

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.findIndex((byte, i) => byte !== b[i]);
}

export const transfers = fc.oneof(read, write);
export const otherAccesses = fc.oneof(writeSame, unmap, compareAndWrite, orwrite, verify);
