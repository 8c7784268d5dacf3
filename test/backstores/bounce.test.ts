/** Copies of buffers that O_DIRECT cannot use have a bound of memory, however many requests a guest has under way. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { BOUNCE_BUDGET } from '../../src/backstores/bounce-memory.ts';
import { FileBackstore } from '../../src/backstores/file-backstore.ts';
import { openFile } from '../../src/backstores/open-file.ts';
import { BackstoreOperation, OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import type { Scratch } from '../../src/scsi/environment.ts';
import { SegmentList } from '../../src/scsi/segment-list.ts';
import { Shard } from '../../src/target/shard.ts';

const MIB = 1 << 20;
const EACH = 24 * MIB;

function opened(t: ExecutionContext) {
  const folder = temporaryFolder();
  const path = join(folder.path, 'disk.img');
  const options = { path, readOnly: false, blockSize: 512, cache: 'writeback', share: false } as const;
  const file = openFile({ ...options, create: true, size: 256 * MIB });
  const { engine, memory } = new Shard();
  // As a file with cache=none, wherever this test runs.
  const direct = { ...file, direct: true, memoryAlignment: 512, lengthAlignment: 512 };
  const backstore = new FileBackstore(direct, engine, memory);
  const source = memory.allocate(EACH + 4096);
  source.bytes.fill(0x5a);
  let held = 0;
  let most = 0;
  const allocate = memory.allocate.bind(memory);
  const release = memory.release.bind(memory);
  memory.allocate = (...args) => {
    const scratch = allocate(...args);
    held += scratch.length;
    most = Math.max(most, held);
    return scratch;
  };
  memory.release = (scratch: Scratch) => {
    held -= scratch.length;
    release(scratch);
  };
  t.teardown(() => folder.remove());
  const write = (index: number) => {
    const operation = new BackstoreOperation();
    operation.kind = OperationKind.WRITE;
    operation.offset = index * EACH;
    operation.length = EACH;
    operation.segments = new SegmentList(1);
    // An address that is none of a block: all of them from the same memory.
    operation.segments.add(source.region, source.offset + 1, EACH);
    const ended = new Promise<Outcome>((resolve) => {
      operation.owner = { operationDone: ({ outcome }) => resolve(outcome) };
    });
    operation.startOn(backstore);
    return { operation, ended };
  };
  const close = async () => {
    await backstore.close();
    await engine.drain();
    engine.close();
  };
  return { path, memory, write, close, held: () => held, most: () => most };
}

test('what has no room waits for it, and may be cancelled meanwhile', async (t) => {
  const { path, write, close, held, most } = opened(t);
  const writes = [0, 1, 2, 3, 4].map(write);
  writes[3].operation.cancel();
  const outcomes = await Promise.all(writes.map(({ ended }) => ended));
  t.deepEqual(outcomes, [Outcome.GOOD, Outcome.GOOD, Outcome.GOOD, Outcome.CANCELLED, Outcome.GOOD]);
  t.true(most() > EACH && most() <= BOUNCE_BUDGET, `${most()} bytes at a time`);
  t.is(held(), 0);
  await close();
  const bytes = readFileSync(path);
  const at = (index: number) => [bytes[index * EACH], bytes[(index + 1) * EACH - 1]];
  for (const index of [0, 1, 2, 4]) t.deepEqual(at(index), [0x5a, 0x5a]);
  t.deepEqual(at(3), [0, 0]);
});

test('without any memory the request is told to come again, and the disk can be closed', async (t) => {
  const { memory, write, close } = opened(t);
  const allocate = memory.allocate.bind(memory);
  memory.allocate = () => {
    throw new RangeError('no memory for the test');
  };
  t.is(await write(0).ended, Outcome.BUSY);
  memory.allocate = allocate;
  t.is(await write(1).ended, Outcome.GOOD);
  await close();
  t.pass();
});
