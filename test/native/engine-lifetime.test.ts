/** What the raw engine holds while operations run, and how they end: cancelled, broken, closed. */
import { ftruncateSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { IoFlag, IoKind } from '../../src/native/engine-spec.ts';
import { Errno } from '../../src/native/errno.ts';
import { makeFile, SLOW_LENGTH, slowWrite } from './engine-files.ts';
import {
  EngineDriver,
  mapMemory,
  openFile,
  openPipe,
  PAGE,
  type Row,
  temporaryFolder,
  USABLE_MODES,
  type Vector,
} from './support.ts';

for (const mode of USABLE_MODES) {
  test(`${mode}: a region stays mapped while an operation uses it`, async (t) => {
    const slow = slowWrite(t);
    const [[slowRegion]] = slow.vectors!;
    const held = addon.mapAnonymous(PAGE, false);
    const engine = new EngineDriver(t, mode);
    const vectors: Vector[] = [
      [slowRegion, 0, SLOW_LENGTH - 1],
      [held, 0, 1],
    ];
    engine.start([{ ...slow, vectors }, { ...slow }]);
    t.is(addon.unmapRegion(held), Errno.EBUSY);
    t.is(addon.unmapRegion(slowRegion), Errno.EBUSY);
    t.throws(() => engine.raw.close(), { message: /still run/ });
    t.deepEqual(await engine.results(2), [SLOW_LENGTH, SLOW_LENGTH]);
    t.is(addon.unmapRegion(held), 0);
  });

  test(`${mode}: cancel ends what waits, once`, async (t) => {
    const slow = slowWrite(t);
    const memory = mapMemory(t, PAGE);
    // Threads: one is busy with the write, so the reads wait for it. io_uring: they wait for the pipe, which
    // preadv would refuse.
    const file = mode === 'threads' ? makeFile(t) : openPipe(t);
    const engine = new EngineDriver(t, mode, { threads: 1 });
    const read: Row = { kind: IoKind.READ_FILE, file, vectors: [[memory.id, 0, 1]] };
    engine.start([slow, read, read, read]);
    for (const slot of [1, 3, 3, 63, 64, 99, -1, 0.5]) engine.raw.cancel(slot);
    engine.raw.cancel(2);
    t.deepEqual(await engine.results(3, 1), [Errno.ECANCELED, Errno.ECANCELED, Errno.ECANCELED]);
    t.deepEqual(await engine.results(1), [SLOW_LENGTH]);
    memory.bytes.fill(1);
    t.true(memory.bytes.every((byte) => byte === 1));
  });

  test(`${mode}: cancelling after the end does nothing`, async (t) => {
    const fd = makeFile(t);
    const memory = mapMemory(t, PAGE);
    const engine = new EngineDriver(t, mode);
    for (let i = 0; i < 50; i++) {
      engine.start([{ kind: IoKind.READ_FILE, file: fd, vectors: [[memory.id, 0, PAGE]] }]);
      engine.raw.cancel(0);
      const [result] = await engine.results(1);
      t.true(result === PAGE || result === Errno.ECANCELED, String(result));
    }
  });

  test(`${mode}: a truncated memory file is an error of the operation`, async (t) => {
    const path = join(temporaryFolder(t, '/dev/shm'), 'memory');
    const shared = openFile(t, path);
    ftruncateSync(shared, 4 * PAGE);
    const region = addon.mapRegion(shared, 0, 4 * PAGE, false);
    t.teardown(() => addon.unmapRegion(region));
    const fd = makeFile(t);
    const disk = mapMemory(t, 4 * PAGE);
    ftruncateSync(shared, PAGE);
    const engine = new EngineDriver(t, mode);
    const vectors: Vector[] = [[region, 2 * PAGE, PAGE]];
    for (const flags of [0, IoFlag.INLINE]) {
      for (const kind of [IoKind.READ_FILE, IoKind.WRITE_FILE]) {
        const [result] = await engine.run({ kind, file: fd, flags, vectors });
        t.is(result, Errno.EFAULT);
      }
    }
    t.false(addon.regionBroken(region), 'the kernel noticed first');
    const [ram] = await engine.run({ kind: IoKind.RAM_WRITE, file: disk.id, vectors });
    t.is(ram, Errno.EFAULT);
    t.true(addon.regionBroken(region));
    const [later] = await engine.run({ kind: IoKind.READ_FILE, file: fd, vectors: [[region, 0, PAGE]] });
    t.is(later, Errno.EFAULT, 'a broken region is not used again');
  });

  test(`${mode}: closing is final and safe to repeat`, (t) => {
    const engine = new EngineDriver(t, mode);
    engine.raw.close();
    engine.raw.close();
    t.throws(() => engine.raw.submit(0), { message: /closed/ });
    t.throws(() => engine.raw.reap(), { message: /closed/ });
  });
}
