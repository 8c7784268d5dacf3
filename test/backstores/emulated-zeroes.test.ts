/** Zeroes on file systems that have no call for them: they are written, in parts. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { FileBackstore } from '../../src/backstores/file-backstore.ts';
import { openFile } from '../../src/backstores/open-file.ts';
import { Errno } from '../../src/native/errno.ts';
import type { IoOwner } from '../../src/native/io-engine.ts';
import { BackstoreOperation, OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { Shard } from '../../src/target/shard.ts';

const MIB = 1 << 20;
const SIZE = 4 * MIB;

/** A disk full of ones, whose file system knows neither holes nor zeroed ranges. */
function opened(t: ExecutionContext) {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = join(folder.path, 'disk.img');
  writeFileSync(path, Buffer.alloc(SIZE, 0xff));
  const shard = new Shard();
  const { engine, memory } = shard;
  const refuse = (_fd: number, _offset: number, _length: number, owner: IoOwner) =>
    queueMicrotask(() => owner.ioCompleted(Errno.EOPNOTSUPP));
  Object.assign(engine, { zeroRange: refuse, punchHole: refuse });
  const options = { path, readOnly: false, blockSize: 512, cache: 'writeback', share: false } as const;
  const backstore = new FileBackstore(openFile({ ...options, create: false }), engine, memory);
  const perform = (kind: OperationKind, offset: number, length: number): Promise<Outcome> => {
    const operation = new BackstoreOperation();
    Object.assign(operation, { kind, offset, length });
    return new Promise((resolve) => {
      operation.owner = { operationDone: ({ outcome }) => resolve(outcome) };
      operation.startOn(backstore);
    });
  };
  const close = async () => {
    await backstore.close();
    await shard.close();
  };
  return { path, memory, perform, close };
}

for (const [what, kind] of [
  ['zeroes', OperationKind.WRITE_ZEROES],
  ['unmap', OperationKind.UNMAP],
] as const) {
  test(`${what}: the range is zero, however long, and nothing around it`, async (t) => {
    const { path, perform, close } = opened(t);
    t.is(await perform(kind, 512, 2 * MIB + 512), Outcome.GOOD);
    await close();
    const expected = Buffer.alloc(SIZE, 0xff).fill(0, 512, 2 * MIB + 1024);
    t.true(readFileSync(path).equals(expected));
  });

  test(`${what}: without memory for them the initiator is told to come again, and the disk can be closed`, async (t) => {
    const { memory, perform, close } = opened(t);
    const allocate = memory.allocate.bind(memory);
    memory.allocate = () => {
      throw new RangeError('no memory for the test');
    };
    t.is(await perform(kind, 0, MIB), Outcome.BUSY);
    memory.allocate = allocate;
    t.is(await perform(kind, 0, MIB), Outcome.GOOD);
    await close();
  });
}
