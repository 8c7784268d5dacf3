import test from 'ava';
import { DiskFile } from '../../../src/fabrics/fuse/disk-file.ts';
import { WriteGate } from '../../../src/fabrics/fuse/write-gate.ts';
import { OperationKind } from '../../../src/scsi/backstore.ts';
import { pattern } from '../../support/block-cdbs.ts';
import { openBlockInitiator } from '../../support/block-initiator.ts';
import { Core, type CoreOptions } from '../../support/core.ts';

const BLOCK = 512;

async function open(options: CoreOptions = {}): Promise<{ core: Core; file: DiskFile }> {
  const core = new Core(options);
  return { core, file: new DiskFile(await openBlockInitiator(core)) };
}

const caller = () => ({ running: undefined });

async function write(file: DiskFile, offset: number, data: Uint8Array, durable = false): Promise<number> {
  const { memory } = file.device.environment;
  const buffer = memory.allocate(data.length);
  buffer.bytes.set(data);
  const error = await new Promise<number>((done) =>
    file.write(caller(), offset, data.length, buffer, 0, durable, done),
  );
  memory.release(buffer);
  return error;
}

const ranges: [offset: number, length: number][] = [
  [0, BLOCK],
  [BLOCK, 7 * BLOCK],
  [1, 1],
  [BLOCK - 1, 2],
  [100, 3 * BLOCK],
  [BLOCK, 100],
  [3 * BLOCK - 1, BLOCK + 1],
  [(1 << 20) - 10, 10],
];
for (const [offset, length] of ranges) {
  test(`${length} bytes at ${offset} are written, and read, and nothing around them changes`, async (t) => {
    const { core, file } = await open();
    const before = pattern(1 << 20, 3);
    core.backstore.bytes.set(before);
    const data = pattern(length, 8);
    t.is(await write(file, offset, data), 0);
    const expected = before.slice();
    expected.set(data, offset);
    t.deepEqual(core.backstore.bytes, expected);
    const buffer = file.device.environment.memory.allocate(length + 2 * BLOCK);
    t.is(await new Promise((done) => file.read(caller(), offset, length, buffer, 0, done)), 0);
    const skip = offset % BLOCK;
    t.deepEqual(buffer.bytes.slice(skip, skip + length), data);
    file.device.environment.memory.release(buffer);
    t.is(core.environment.memory.outstanding, 0);
  });

  for (const release of [true, false]) {
    test(`${length} bytes at ${offset} become zero${release ? ', their blocks unmapped' : ''}`, async (t) => {
      const { core, file } = await open();
      const before = pattern(1 << 20, 3);
      core.backstore.bytes.set(before);
      core.backstore.log.length = 0;
      t.is(await new Promise((done) => file.zero(caller(), offset, length, release, done)), 0);
      t.deepEqual(core.backstore.bytes, before.slice().fill(0, offset, offset + length));
      const whole = Math.floor((offset + length) / BLOCK) - Math.ceil(offset / BLOCK);
      const kind = release ? OperationKind.UNMAP : OperationKind.WRITE_ZEROES;
      t.deepEqual(
        core.backstore.log.filter((done) => done.kind === kind).map((done) => done.length / BLOCK),
        whole > 0 ? [whole] : [],
      );
    });
  }
}

test('two writes inside one block are both kept, whenever the disk answers', async (t) => {
  const { core, file } = await open();
  core.backstore.hold = true;
  const first = write(file, 10, pattern(20, 1));
  const second = write(file, 100, pattern(20, 2));
  const whole = write(file, BLOCK, pattern(BLOCK, 4));
  for (let i = 0; i < 10; i++) {
    await new Promise(setImmediate);
    core.backstore.releaseHeld();
  }
  t.deepEqual(await Promise.all([first, second, whole]), [0, 0, 0]);
  t.deepEqual(core.backstore.bytes.slice(10, 30), pattern(20, 1));
  t.deepEqual(core.backstore.bytes.slice(100, 120), pattern(20, 2));
  t.deepEqual(core.backstore.bytes.slice(BLOCK, 2 * BLOCK), pattern(BLOCK, 4));
});

test('a failed read fails the write that needed it, and the gate opens again', async (t) => {
  const { core, file } = await open();
  core.backstore.fault = { kind: OperationKind.READ, outcome: 1 };
  t.is(await write(file, 1, pattern(1, 1)), 5);
  core.backstore.fault = undefined;
  t.is(await write(file, 1, pattern(1, 1)), 0);
  t.is(core.environment.memory.outstanding, 0);
});

test('holes are found where they are', async (t) => {
  const { file } = await open();
  await write(file, 8 * BLOCK, pattern(4 * BLOCK, 1));
  t.is(await file.seek(0, false), 8 * BLOCK);
  t.is(await file.seek(9 * BLOCK + 5, false), 9 * BLOCK + 5);
  t.is(await file.seek(0, true), 0);
  t.is(await file.seek(8 * BLOCK, true), 12 * BLOCK);
  t.is(await file.seek(12 * BLOCK, false), undefined);
  t.is(await file.seek((1 << 20) - 1, true), (1 << 20) - 1);
});

test('a gate lets sharers in together, and who must be alone alone', (t) => {
  const gate = new WriteGate();
  const order: string[] = [];
  const enter = (name: string, alone: boolean) => gate.enter(alone, () => order.push(name));
  enter('a', false);
  enter('b', false);
  enter('alone', true);
  enter('c', false);
  t.deepEqual(order, ['a', 'b']);
  gate.leave();
  t.deepEqual(order, ['a', 'b']);
  gate.leave();
  t.deepEqual(order, ['a', 'b', 'alone']);
  gate.leave();
  t.deepEqual(order, ['a', 'b', 'alone', 'c']);
});
