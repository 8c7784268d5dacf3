/** Disks in memory, which the raw engine reads, writes and zeroes at once. */
import { statSync } from 'node:fs';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { IoKind } from '../../src/native/engine-spec.ts';
import { EngineDriver, KIB, MIB, mapMemory, PAGE, pattern, type Row } from './support.ts';

test('RAM disks read, write and zero at once', async (t) => {
  const disk = mapMemory(t, MIB);
  const memory = mapMemory(t, MIB);
  disk.bytes.set(pattern(MIB));
  const engine = new EngineDriver(t, 'threads');
  const read: Row = {
    kind: IoKind.RAM_READ,
    file: disk.id,
    offset: 1000,
    vectors: [
      [memory.id, 0, 500],
      [memory.id, 1000, 5000],
    ],
  };
  t.is(engine.start([read]), 1);
  t.deepEqual(await engine.results(1), [5500]);
  t.deepEqual(memory.bytes.slice(0, 500), disk.bytes.slice(1000, 1500));
  t.deepEqual(memory.bytes.slice(1000, 6000), disk.bytes.slice(1500, 6500));
  memory.bytes.set(pattern(MIB, 9));
  t.deepEqual(await engine.run({ ...read, kind: IoKind.RAM_WRITE, offset: 0 }), [5500]);
  t.deepEqual(disk.bytes.slice(0, 500), memory.bytes.slice(0, 500));
  t.deepEqual(disk.bytes.slice(500, 5500), memory.bytes.slice(1000, 6000));
  // A disk as its own buffer.
  const overlap: Row = { kind: IoKind.RAM_WRITE, file: disk.id, offset: 10, vectors: [[disk.id, 0, 1000]] };
  const before = disk.bytes.slice(0, 1000);
  t.deepEqual(await engine.run(overlap), [1000]);
  t.deepEqual(disk.bytes.slice(10, 1010), before);
});

for (const kind of ['anonymous', 'memfd'] as const) {
  test(`zeroing a ${kind} disk touches the range alone, and gives memory back`, async (t) => {
    const disk = mapMemory(t, 4 * MIB, kind);
    const engine = new EngineDriver(t, 'threads');
    for (const [offset, length] of [
      [0, 4 * MIB],
      [100, 7],
      [PAGE, PAGE],
      [5000, 3 * MIB + 17],
      [MIB - 1, 64 * KIB + 2],
    ]) {
      disk.bytes.fill(0xff);
      t.deepEqual(await engine.run({ kind: IoKind.RAM_ZERO, file: disk.id, offset, length }), [0]);
      t.true(
        disk.bytes.subarray(offset, offset + length).every((byte) => byte === 0),
        `${offset}+${length}`,
      );
      t.true(disk.bytes.subarray(0, offset).every((byte) => byte === 0xff));
      t.true(disk.bytes.subarray(offset + length).every((byte) => byte === 0xff));
    }
  });
}

test('zeroing a RAM disk returns its pages', async (t) => {
  const fd = addon.memfd('thin', 4 * MIB);
  t.teardown(() => addon.close(fd));
  const region = addon.mapRegion(fd, 0, 4 * MIB, false);
  t.teardown(() => addon.unmapRegion(region));
  new Uint8Array(addon.regionWindows(region)[0]).fill(1);
  const engine = new EngineDriver(t, 'threads');
  await engine.run({ kind: IoKind.RAM_ZERO, file: region, offset: MIB, length: 2 * MIB });
  t.is(statSync(`/proc/self/fd/${fd}`).blocks * 512, 2 * MIB);
});
