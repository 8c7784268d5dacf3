/** What a file's failed syncs mean to later ones: the kernel reports lost writes once, and to one caller only. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { CacheMode } from '../../src/backstores/cache-mode.ts';
import { FileBackstore } from '../../src/backstores/file-backstore.ts';
import { addon } from '../../src/native/addon.ts';
import { IoFlag } from '../../src/native/engine-spec.ts';
import type { IoEngine, IoOwner } from '../../src/native/io-engine.ts';
import type { RegionMemory } from '../../src/native/memory.ts';
import { BackstoreOperation, OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { SegmentList } from '../../src/scsi/segment-list.ts';
import { Shard } from '../../src/target/shard.ts';
import { USABLE_MODES } from '../native/support.ts';

const { EAGAIN, EBUSY, ECANCELED, EFAULT, EINVAL, EIO, ENOMEM, ENOSPC } = constants.errno;
const folder = mkdtempSync(join(tmpdir(), 'lunport-failed-sync-'));
const fd = openSync(join(folder, 'disk.img'), 'w+');
test.after.always(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

/** An engine that leaves what it was asked for to the test. */
class StubEngine {
  readonly mode = 'stub';
  readonly asked: { what: string; owner: IoOwner }[] = [];

  mapReads(): void {}

  fsync(_fd: number, owner: IoOwner): void {
    this.asked.push({ what: 'fsync', owner });
  }

  write(...[, , , , , flags, owner]: Parameters<IoEngine['write']>): void {
    this.asked.push({ what: (flags & IoFlag.FUA) === 0 ? 'write' : 'write FUA', owner });
  }

  punchHole(...[, , , owner]: Parameters<IoEngine['punchHole']>): void {
    this.asked.push({ what: 'hole', owner });
  }

  zeroRange(...[, , , owner]: Parameters<IoEngine['zeroRange']>): void {
    this.asked.push({ what: 'zeroes', owner });
  }

  /** Ends the oldest request. */
  end(what: string, result: number): void {
    const request = this.asked.shift();
    if (request?.what !== what) throw new Error(`expected ${what} but ${request?.what} was asked for`);
    request.owner.ioCompleted(result);
  }
}

function open(cache: CacheMode = 'writeback', file = fd, shard?: Shard) {
  const engine = new StubEngine();
  const opened = {
    fd: file,
    path: 'disk.img',
    size: 1 << 20,
    blockSize: 4096,
    readOnly: false,
    direct: false,
    prompt: true,
    cache,
    memoryAlignment: 1,
    lengthAlignment: 1,
    punchHole: true,
    allocationUnit: 4096,
    physicalBlockSize: 4096,
    rotational: false,
    measure: () => 1 << 20,
    isFile: true,
  } as const;
  const chosen = shard?.engine ?? (engine as unknown as IoEngine);
  const backstore = new FileBackstore(opened, chosen, shard?.memory ?? ({} as RegionMemory));
  const start = (kind: OperationKind, forceUnitAccess = false): BackstoreOperation => {
    const operation = new BackstoreOperation();
    Object.assign(operation, { kind, forceUnitAccess, length: 4096, segments: new SegmentList(1) });
    operation.outcome = Outcome.BUSY;
    operation.owner = { operationDone: () => {} };
    operation.startOn(backstore);
    return operation;
  };
  return { engine, backstore, start };
}

test('once a flush has failed, every later one fails without asking the kernel, which has forgotten', (t) => {
  const { engine, start } = open();
  const first = start(OperationKind.FLUSH);
  engine.end('fsync', -EIO);
  t.is(first.outcome, Outcome.MEDIUM_ERROR);
  t.is(start(OperationKind.FLUSH).outcome, Outcome.MEDIUM_ERROR);
  t.is(engine.asked.length, 0);
});

test('of two flushes at a time both fail, though the kernel tells one of them only', (t) => {
  const { engine, start } = open();
  const flushes = [start(OperationKind.FLUSH), start(OperationKind.FLUSH)];
  engine.end('fsync', -EIO);
  engine.end('fsync', 0);
  t.deepEqual(
    flushes.map(({ outcome }) => outcome),
    [Outcome.MEDIUM_ERROR, Outcome.MEDIUM_ERROR],
  );
});

test('a write with FUA that fails may have taken the report of earlier writes: flushes fail from then on', (t) => {
  const { engine, start } = open();
  start(OperationKind.WRITE, true);
  engine.end('write FUA', -EIO);
  t.is(start(OperationKind.FLUSH).outcome, Outcome.MEDIUM_ERROR);
});

test('a write with FUA that finds no space loses nothing: flushes go on', (t) => {
  const { engine, start } = open();
  const write = start(OperationKind.WRITE, true);
  engine.end('write FUA', -ENOSPC);
  engine.end('write', -ENOSPC);
  t.is(write.outcome, Outcome.NO_SPACE);
  const flush = start(OperationKind.FLUSH);
  engine.end('fsync', 0);
  t.is(flush.outcome, Outcome.GOOD);
});

test('a write with FUA that finds space without it has seen a sync fail', (t) => {
  const { engine, start } = open();
  const write = start(OperationKind.WRITE, true);
  engine.end('write FUA', -ENOSPC);
  engine.end('write', 4096);
  t.is(write.outcome, Outcome.NO_SPACE);
  t.is(start(OperationKind.FLUSH).outcome, Outcome.NO_SPACE);
});

test('a write without FUA that fails concerns nobody else', (t) => {
  const { engine, start } = open();
  const write = start(OperationKind.WRITE);
  engine.end('write', -EIO);
  t.is(write.outcome, Outcome.MEDIUM_ERROR);
  const flush = start(OperationKind.FLUSH);
  engine.end('fsync', 0);
  t.is(flush.outcome, Outcome.GOOD);
});

for (const [what, errno] of [
  ['is gone', EFAULT],
  ['is in too many pieces', EINVAL],
] as const) {
  test(`a write with FUA whose memory ${what} fails, and flushes go on`, (t) => {
    const { engine, start } = open();
    const write = start(OperationKind.WRITE, true);
    engine.end('write FUA', -errno);
    t.is(write.outcome, Outcome.MEDIUM_ERROR);
    const flush = start(OperationKind.FLUSH);
    engine.end('fsync', 0);
    t.is(flush.outcome, Outcome.GOOD);
  });
}

for (const mode of USABLE_MODES) {
  test(`${mode}: writes with FUA from memory that its owner took away leave the flushes of others alone`, async (t) => {
    const shard = new Shard(mode);
    const image = openSync(join(folder, `${mode}.img`), 'w+');
    ftruncateSync(image, 1 << 20);
    const { backstore } = open('writeback', image, shard);
    const guest = addon.memfd('guest', 8192);
    const region = shard.memory.map(guest, 0, 8192);
    ftruncateSync(guest, 0);
    const perform = (kind: OperationKind): Promise<Outcome> => {
      const operation = new BackstoreOperation();
      const segments = new SegmentList(1);
      segments.add(region.id, 0, 4096);
      Object.assign(operation, { kind, forceUnitAccess: true, length: 4096, segments });
      return new Promise((resolve) => {
        operation.owner = { operationDone: ({ outcome }) => resolve(outcome) };
        operation.startOn(backstore);
      });
    };
    t.not(await perform(OperationKind.WRITE), Outcome.GOOD);
    t.is(await perform(OperationKind.FLUSH), Outcome.GOOD);
    await backstore.close();
    shard.memory.unmap(region);
    await shard.close();
    closeSync(guest);
  });
}

test('where every write is synced, one sync after the write makes it durable, and tells of its failure', (t) => {
  const { engine, start } = open('writethrough');
  const durable = start(OperationKind.WRITE, true);
  engine.end('write', 4096);
  t.is(durable.outcome, Outcome.BUSY);
  engine.end('fsync', 0);
  t.is(durable.outcome, Outcome.GOOD);
  const full = start(OperationKind.WRITE, true);
  engine.end('write', -ENOSPC);
  t.is(full.outcome, Outcome.NO_SPACE);
  const cut = start(OperationKind.WRITE, true);
  engine.end('write', 512);
  t.is(cut.outcome, Outcome.GONE);
  const lost = start(OperationKind.WRITE, true);
  engine.end('write', 4096);
  engine.end('fsync', -EIO);
  t.is(lost.outcome, Outcome.MEDIUM_ERROR);
  t.is(start(OperationKind.FLUSH).outcome, Outcome.MEDIUM_ERROR);
});

for (const [what, errno, outcome] of [
  ['was aborted', ECANCELED, Outcome.CANCELLED],
  ['the kernel had no memory to begin', EAGAIN, Outcome.BUSY],
  ['the kernel had no room for', EBUSY, Outcome.BUSY],
] as const) {
  test(`a flush that ${what} says nothing about the disk: the next one works`, (t) => {
    const { engine, start } = open();
    const left = start(OperationKind.FLUSH);
    engine.end('fsync', -errno);
    t.is(left.outcome, outcome);
    const next = start(OperationKind.FLUSH);
    engine.end('fsync', 0);
    t.is(next.outcome, Outcome.GOOD);
  });
}

for (const [what, kind, step] of [
  ['hole', OperationKind.UNMAP, 'hole'],
  ['range of zeroes', OperationKind.WRITE_ZEROES, 'zeroes'],
] as const) {
  test(`a ${what} that is to be durable is synced before it is answered, and fails as it does or its sync`, (t) => {
    const { engine, start } = open();
    const durable = start(kind, true);
    engine.end(step, 0);
    t.is(durable.outcome, Outcome.BUSY);
    engine.end('fsync', 0);
    t.is(durable.outcome, Outcome.GOOD);
    const cached = start(kind);
    engine.end(step, 0);
    t.is(cached.outcome, Outcome.GOOD);
    const refused = start(kind);
    engine.end(step, -ENOSPC);
    t.is(refused.outcome, Outcome.NO_SPACE);
    const lost = start(kind, true);
    engine.end(step, 0);
    engine.end('fsync', -EIO);
    t.is(lost.outcome, Outcome.MEDIUM_ERROR);
  });
}

test('a flush that failed for want of memory has failed: BUSY would have it tried for ever', (t) => {
  const { engine, start } = open();
  const first = start(OperationKind.FLUSH);
  engine.end('fsync', -ENOMEM);
  t.is(first.outcome, Outcome.MEDIUM_ERROR);
  t.is(start(OperationKind.FLUSH).outcome, Outcome.MEDIUM_ERROR);
});

test('a disk of which a sync has failed says so when it is closed, though its last sync succeeds', async (t) => {
  const { engine, backstore, start } = open('writeback', openSync(join(folder, 'closed.img'), 'w+'));
  start(OperationKind.FLUSH);
  engine.end('fsync', -EIO);
  await t.throwsAsync(backstore.close(), { code: 'EIO' });
});
