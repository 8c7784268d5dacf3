/** A user's own kind of disk: when its functions are called, and what their failures mean. */
import test from 'ava';
import { AsyncBackstore, type UserBackstore } from '../../src/backstores/async-backstore.ts';
import { BackstoreOperation, OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { SegmentList } from '../../src/scsi/segment-list.ts';
import { HeapMemory } from '../support/heap-memory.ts';

const BLOCK = 512;

/** Remembers what it was asked for; each function waits until the test lets it end. */
class SlowDisk implements UserBackstore {
  readonly byteLength = 1 << 20;
  readonly asked: { what: string; end: (error?: Error) => void }[] = [];

  async read(_offset: number, length: number): Promise<Uint8Array> {
    await this.wait('read');
    return new Uint8Array(length).fill(0x5a);
  }

  write(): Promise<void> {
    return this.wait('write');
  }

  flush(): Promise<void> {
    return this.wait('flush');
  }

  unmap(): Promise<void> {
    return this.wait('unmap');
  }

  close(): Promise<void> {
    return this.wait('close');
  }

  /** Ends the oldest call, and waits for what follows from it. */
  async end(what: string, error?: Error): Promise<void> {
    const call = this.asked.shift();
    if (call?.what !== what) throw new Error(`expected ${what} but ${call?.what} was asked for`);
    call.end(error);
    await new Promise(setImmediate);
  }

  private wait(what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.asked.push({ what, end: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  }
}

function open() {
  const disk = new SlowDisk();
  const memory = new HeapMemory();
  const reports: unknown[] = [];
  const backstore = new AsyncBackstore('slow', disk, memory, (error) => reports.push(error));
  const start = (kind: OperationKind, forceUnitAccess = false) => {
    const { region } = memory.allocate(BLOCK);
    const segments = new SegmentList(1);
    segments.add(region, 0, BLOCK);
    const operation = new BackstoreOperation();
    Object.assign(operation, { kind, forceUnitAccess, length: BLOCK, segments, outcome: Outcome.BUSY });
    operation.owner = { operationDone: () => {} };
    operation.startOn(backstore);
    return operation;
  };
  return { disk, backstore, reports, start };
}

for (const [what, kind, step] of [
  ['a write', OperationKind.WRITE, 'write'],
  ['zeroes', OperationKind.WRITE_ZEROES, 'write'],
  ['an unmapped range', OperationKind.UNMAP, 'unmap'],
] as const) {
  test(`${what} with FUA: done after a flush, and failed when that fails`, async (t) => {
    const { disk, reports, start } = open();
    const durable = start(kind, true);
    await disk.end(step);
    t.is(durable.outcome, Outcome.BUSY);
    await disk.end('flush');
    t.is(durable.outcome, Outcome.GOOD);
    const lost = start(kind, true);
    await disk.end(step);
    await disk.end('flush', new Error('no'));
    t.is(lost.outcome, Outcome.MEDIUM_ERROR);
    t.is(reports.length, 1);
  });
}

test('what comes after the end is told that the disk is gone, and the user hears nothing of it', async (t) => {
  const { disk, backstore, start } = open();
  const before = start(OperationKind.WRITE);
  const closed = backstore.close();
  t.is(start(OperationKind.WRITE).outcome, Outcome.GONE);
  await disk.end('write');
  t.is(before.outcome, Outcome.GOOD);
  await disk.end('flush');
  await disk.end('close');
  await closed;
  t.is(start(OperationKind.READ).outcome, Outcome.GONE);
  t.deepEqual(disk.asked, []);
});

test('a disk whose last flush fails is closed all the same, and says so', async (t) => {
  const { disk, backstore } = open();
  const closed = t.throwsAsync(backstore.close(), { message: 'not durable' });
  await new Promise(setImmediate);
  await disk.end('flush', new Error('not durable'));
  await disk.end('close');
  await closed;
});
