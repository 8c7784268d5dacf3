/** Which block of a failed transfer it was: the system only says that it failed, and initiators read on behind it. */
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { FileBackstore } from '../../src/backstores/file-backstore.ts';
import { openFile } from '../../src/backstores/open-file.ts';
import type { IoEngine, IoOwner } from '../../src/native/io-engine.ts';
import type { RegionMemory } from '../../src/native/memory.ts';
import { BackstoreOperation, OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { SegmentList } from '../../src/scsi/segment-list.ts';
import { HeapMemory } from '../support/heap-memory.ts';

const { EIO, ENOSPC } = constants.errno;
const BLOCK = 512;
const BLOCKS = 256;

const folder = mkdtempSync(join(tmpdir(), 'lunport-bad-block-'));
test.after.always(() => rmSync(folder, { recursive: true }));

type Transfer = [
  fd: number,
  offset: number,
  length: number,
  segments: unknown,
  segmentsOffset: number,
  flags: number,
  owner: IoOwner,
];

/** Files with bad blocks; what moves is counted, and moves nowhere. */
class BadEngine {
  readonly bad: ReadonlySet<number>;
  readonly errno: number;
  transfers = 0;
  /** Bytes between place on the disk and place in memory: the same in every part of one transfer. */
  readonly distances = new Set<number>();

  constructor(bad: readonly number[], errno: number) {
    this.bad = new Set(bad);
    this.errno = errno;
  }

  mapReads(): void {}

  read(...[, offset, length, , segmentsOffset, , owner]: Transfer): void {
    this.transfers++;
    this.distances.add(offset - segmentsOffset);
    const end = (offset + length) / BLOCK;
    const failed = [...this.bad].some((lba) => lba >= offset / BLOCK && lba < end);
    const result = end > BLOCKS ? Math.max(0, BLOCKS * BLOCK - offset) : length;
    owner.ioCompleted(failed ? -this.errno : result);
  }

  write(...transfer: Transfer): void {
    this.read(...transfer);
  }
}

interface Place {
  readonly offset: number;
  readonly length: number;
  readonly segments: SegmentList;
  readonly segmentsOffset: number;
}

function start(
  engine: BadEngine,
  kind: OperationKind,
  place: Place,
  memory: Partial<HeapMemory> = {},
  opening: { direct?: boolean } = {},
): BackstoreOperation {
  const path = join(folder, 'disk.img');
  const size = BLOCKS * BLOCK;
  const file = { path, size, blockSize: BLOCK, readOnly: false, create: true, share: true } as const;
  const opened = openFile({ ...file, cache: 'writeback' });
  const needs = { ...opened, ...opening, memoryAlignment: BLOCK };
  const regions = memory as unknown as RegionMemory;
  const backstore = new FileBackstore(needs, engine as unknown as IoEngine, regions);
  const operation = new BackstoreOperation();
  Object.assign(operation, { kind, ...place });
  operation.owner = { operationDone: () => {} };
  operation.startOn(backstore);
  closeSync(opened.fd);
  return operation;
}

function transfer(engine: BadEngine, kind: OperationKind, lba: number, blocks: number): BackstoreOperation {
  const segments = new SegmentList(1);
  const range = { offset: lba * BLOCK, length: blocks * BLOCK };
  return start(engine, kind, { ...range, segments, segmentsOffset: 64 });
}

for (const [name, kind] of [
  ['read', OperationKind.READ],
  ['write', OperationKind.WRITE],
] as const) {
  test(`a ${name} that fails says which block was the first, in few steps`, (t) => {
    const block = fc.integer({ min: 0, max: BLOCKS - 1 });
    const bad = fc.array(block, { maxLength: 5 });
    const length = fc.integer({ min: 1, max: 128 });
    const property = fc.property(bad, block, length, (badBlocks, lba, wanted) => {
      const blocks = Math.min(wanted, BLOCKS - lba);
      const engine = new BadEngine(badBlocks, EIO);
      const { outcome, transferred } = transfer(engine, kind, lba, blocks);
      const first = Math.min(...badBlocks.filter((each) => each >= lba && each < lba + blocks));
      t.is(engine.distances.size, 1);
      if (first === Infinity) {
        t.deepEqual([outcome, transferred, engine.transfers], [Outcome.GOOD, blocks * BLOCK, 1]);
      } else {
        t.deepEqual([outcome, transferred], [Outcome.MEDIUM_ERROR, (first - lba) * BLOCK]);
        t.true(engine.transfers <= 1 + Math.ceil(Math.log2(blocks)), `${engine.transfers} of ${blocks}`);
      }
    });
    t.notThrows(() => fc.assert(property, { numRuns: 50 }));
  });
}

test("what precedes the bad block is in the initiator's memory, although O_DIRECT could not read it there", (t) => {
  const memory = new HeapMemory();
  class FillingEngine extends BadEngine {
    override read(...transfer: Transfer): void {
      const [, offset, length, segments, segmentsOffset] = transfer;
      // The failed part is in memory too, as far as it got: nobody may take it for the disk's.
      (segments as SegmentList).eachPart(segmentsOffset, length, (region, at, done, part) => {
        for (let i = 0; i < part; i++)
          memory.bytes(region)[at + i] = Math.floor((offset + done + i) / BLOCK) + 1;
      });
      super.read(...transfer);
    }
  }
  const bad = 7;
  const { region, bytes } = memory.allocate(16 * BLOCK + 1);
  const segments = new SegmentList(1);
  segments.add(region, 1, 16 * BLOCK);
  const place = { offset: 2 * BLOCK, length: 16 * BLOCK, segments, segmentsOffset: 0 };
  const engine = new FillingEngine([bad], EIO);
  const { outcome, transferred } = start(engine, OperationKind.READ, place, memory, { direct: true });
  t.deepEqual([outcome, transferred], [Outcome.MEDIUM_ERROR, (bad - 2) * BLOCK]);
  const blocks = Array.from({ length: 16 }, (_, i) => bytes[1 + i * BLOCK]);
  t.deepEqual(blocks.slice(0, bad - 2), [3, 4, 5, 6, 7]);
  t.true(blocks.slice(bad - 2).every((byte) => byte === 0xdb));
  t.is(memory.outstanding, 1);
});

test('no block is looked for where it is not a block that failed', (t) => {
  const engine = new BadEngine([7], ENOSPC);
  t.is(transfer(engine, OperationKind.WRITE, 0, 16).outcome, Outcome.NO_SPACE);
  t.is(engine.transfers, 1);
});
