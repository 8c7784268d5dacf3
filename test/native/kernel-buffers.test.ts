/** Regions that stand for buffers of the kernel: what may be done with them, without a driver that lends any. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { addon } from '../../src/native/addon.ts';
import { IoKind } from '../../src/native/engine-spec.ts';
import { Errno } from '../../src/native/errno.ts';
import { RegionMemory } from '../../src/native/memory.ts';
import {
  EngineDriver,
  KIB,
  mapMemory,
  openFile,
  PAGE,
  pattern,
  temporaryFolder,
  USABLE_MODES,
  type Vector,
} from './support.ts';

const COUNT = 4;
const EACH = 64 * KIB;
const COMMANDS = [0xc010_7523, 0xc010_7524] as const;

function lend(t: ExecutionContext, fd: number): number {
  const id = addon.lendKernelBuffers(fd, COUNT, EACH, ...COMMANDS);
  t.true(id >= 0);
  t.teardown(() => addon.unmapRegion(id));
  return id;
}

const refusals: [title: string, kind: IoKind, vectors: (lent: number, memory: number) => Vector[]][] = [
  ['a buffer and memory', IoKind.READ_FILE, (lent, memory) => [[lent, 0, PAGE], [memory, 0, PAGE]]], // biome-ignore format: a row
  ['memory and a buffer', IoKind.READ_FILE, (lent, memory) => [[memory, 0, PAGE], [lent, 0, PAGE]]], // biome-ignore format: a row
  ['two buffers', IoKind.WRITE_FILE, (lent) => [[lent, EACH - PAGE, 2 * PAGE]]],
  ['more than there are', IoKind.WRITE_FILE, (lent) => [[lent, COUNT * EACH, PAGE]]],
  ['a buffer for a copy', IoKind.RAM_READ, (lent) => [[lent, 0, PAGE]]],
  ['a buffer that nobody lends', IoKind.READ_FILE, (lent) => [[lent, EACH, PAGE]]],
];
for (const mode of USABLE_MODES) {
  test(`${mode}: a list with a buffer of the kernel has nothing else, and only io_uring takes it`, async (t) => {
    const file = openFile(t, join(temporaryFolder(t), 'disk'));
    const memory = mapMemory(t, 4 * PAGE);
    // It takes any command, and lends nothing.
    const lent = lend(t, openFile(t, '/dev/null'));
    const engine = new EngineDriver(t, mode);
    for (const [title, kind, vectors] of refusals) {
      const target = kind === IoKind.RAM_READ ? memory.id : file;
      const [result] = await engine.run({ kind, file: target, vectors: vectors(lent, memory.id) });
      t.is(result, Errno.EFAULT, title);
    }
    t.is(addon.unmapRegion(lent), 0);
  });
}

test('a region of such buffers has no window, and numbers that make none are refused', (t) => {
  const fd = openFile(t, '/dev/null');
  t.is(addon.regionWindow(lend(t, fd), 0), undefined);
  for (const [count, each] of [
    [0, EACH],
    [COUNT, 0],
    [2 ** 16 + 1, EACH],
    [1.5, EACH],
  ]) {
    // biome-ignore format: rows
    t.is(addon.lendKernelBuffers(fd, count, each, ...COMMANDS), Errno.EINVAL);
  }
  t.is(addon.lendKernelBuffers(-1, COUNT, EACH, ...COMMANDS), Errno.EBADF);
});

test("a copy goes by way of the driver's file, where each buffer has its place", (t) => {
  const path = join(temporaryFolder(t), 'driver');
  const memory = new RegionMemory();
  const [borrow, giveBack] = COMMANDS;
  const places = { fileOffset: PAGE, fileStride: 2 * EACH };
  const region = memory.lend(
    { fd: openFile(t, path), count: COUNT, each: EACH, borrow, giveBack, ...places },
    '',
  );
  const bytes = pattern(PAGE);
  memory.write(region.id, EACH + 100, bytes, 0, PAGE);
  t.deepEqual(new Uint8Array(readFileSync(path).subarray(PAGE + 2 * EACH + 100)), bytes);
  const back = new Uint8Array(PAGE);
  memory.read(region.id, EACH + 100, back, 0, PAGE);
  t.deepEqual(back, bytes);
  t.throws(() => memory.read(region.id, COUNT * EACH, back, 0, 1), { instanceOf: RangeError });
  t.true(memory.unmap(region));
});
