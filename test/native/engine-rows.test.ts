/** Rows that the raw engine, or the system, refuses: each with an error of its own, and nothing else disturbed. */
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { IoFlag, IoKind } from '../../src/native/engine-spec.ts';
import { Errno } from '../../src/native/errno.ts';
import { makeFile, SLOW_LENGTH, slowWrite } from './engine-files.ts';
import {
  EngineDriver,
  mapMemory,
  PAGE,
  type Row,
  temporaryFolder,
  USABLE_MODES,
  type Vector,
} from './support.ts';

for (const mode of USABLE_MODES) {
  test(`${mode}: what the system refuses comes back as its errno`, async (t) => {
    const folder = temporaryFolder(t);
    const fd = makeFile(t);
    const memory = mapMemory(t, PAGE);
    const readOnly = openSync(join(folder, 'read-only'), constants.O_RDONLY | constants.O_CREAT, 0o600);
    t.teardown(() => closeSync(readOnly));
    const directory = openSync(folder, constants.O_RDONLY);
    t.teardown(() => closeSync(directory));
    const full = openSync('/dev/full', 'r+');
    t.teardown(() => closeSync(full));
    const vectors: Vector[] = [[memory.id, 0, PAGE]];
    const rows: [Row, number][] = [
      [{ kind: IoKind.WRITE_FILE, file: readOnly, vectors }, Errno.EBADF],
      [{ kind: IoKind.READ_FILE, file: directory, vectors }, Errno.EISDIR],
      [{ kind: IoKind.READ_FILE, file: 999_999, vectors }, Errno.EBADF],
      [{ kind: IoKind.WRITE_FILE, file: full, vectors }, Errno.ENOSPC],
      [{ kind: IoKind.FSYNC, file: 999_999 }, Errno.EBADF],
      [{ kind: IoKind.PUNCH_HOLE, file: readOnly, length: PAGE }, Errno.EBADF],
    ];
    for (const flags of [0, IoFlag.INLINE]) {
      const engine = new EngineDriver(t, mode);
      for (const [row, expected] of rows) {
        t.deepEqual(await engine.run({ ...row, flags }), [expected], JSON.stringify(row));
      }
      t.deepEqual(
        await engine.run({ kind: IoKind.READ_FILE, file: fd, flags, vectors }),
        [PAGE],
        'and goes on',
      );
    }
  });

  test(`${mode}: a bad row completes with an error and touches nothing`, async (t) => {
    const fd = makeFile(t);
    const memory = mapMemory(t, PAGE);
    const disk = mapMemory(t, PAGE);
    disk.bytes.fill(5);
    memory.bytes.fill(6);
    const good: Row = { kind: IoKind.READ_FILE, file: fd, vectors: [[memory.id, 0, 512]] };
    const ram: Row = { kind: IoKind.RAM_READ, file: disk.id, vectors: [[memory.id, 0, 512]] };
    const bad: [string, Row, number][] = [
      ['an unknown kind', { ...good, kind: 99 }, Errno.EINVAL],
      ['a negative kind', { ...good, kind: -1 }, Errno.EINVAL],
      ['a kind that is no number', { ...good, kind: Number.NaN }, Errno.EINVAL],
      ['an unknown flag', { ...good, flags: 16 }, Errno.EINVAL],
      ['a negative offset', { ...good, offset: -1 }, Errno.EINVAL],
      ['a fraction', { ...good, offset: 0.5 }, Errno.EINVAL],
      ['an offset that is not exact', { ...good, offset: 2 ** 53 }, Errno.EINVAL],
      ['no descriptor', { ...good, file: -1 }, Errno.EBADF],
      ['NaN as descriptor', { ...good, file: Number.NaN }, Errno.EBADF],
      ['vectors shorter than the length', { ...good, length: 513 }, Errno.EINVAL],
      ['vectors longer than the length', { ...good, length: 511 }, Errno.EINVAL],
      ['no vectors', { ...good, vectors: [], length: 512 }, Errno.EINVAL],
      ['a length over 2^31-1', { ...good, length: 2 ** 31 }, Errno.EINVAL],
      ['vectors outside the table', { ...good, raw: { 6: 8192 } }, Errno.EINVAL],
      ['too many vectors', { ...good, raw: { 7: 8193 } }, Errno.EINVAL],
      ['vectors at a wild index', { ...good, raw: { 6: 2 ** 32 + 1 } }, Errno.EINVAL],
      ['an unknown region', { ...good, vectors: [[12345, 0, 512]] }, Errno.EFAULT],
      ['a negative region', { ...good, vectors: [[-1, 0, 512]] }, Errno.EFAULT],
      ['a region that is no integer', { ...good, vectors: [[memory.id + 0.5, 0, 512]] }, Errno.EFAULT],
      ['memory after the region', { ...good, vectors: [[memory.id, PAGE - 511, 512]] }, Errno.EFAULT],
      ['memory far after it', { ...good, vectors: [[memory.id, 2 ** 52, 512]] }, Errno.EFAULT],
      ['memory before it', { ...good, vectors: [[memory.id, -1, 512]] }, Errno.EINVAL],
      [
        'a good vector before a bad one',
        { ...good, vectors: [...good.vectors!, [memory.id, PAGE, 1]] },
        Errno.EFAULT,
      ],
      ['a disk that is no region', { ...ram, file: 12345 }, Errno.EFAULT],
      ['a disk that is NaN', { ...ram, file: Number.NaN }, Errno.EFAULT],
      ['a range after the disk', { ...ram, offset: PAGE - 511 }, Errno.EINVAL],
      ['a disk read into no region', { ...ram, vectors: [[12345, 0, 512]] }, Errno.EFAULT],
      [
        'zeroing after the disk',
        { kind: IoKind.RAM_ZERO, file: disk.id, offset: 1, length: PAGE },
        Errno.EINVAL,
      ],
      ['a withdrawn row', { ...good, kind: IoKind.CANCELLED }, Errno.ECANCELED],
    ];
    for (const flags of [0, IoFlag.INLINE]) {
      const engine = new EngineDriver(t, mode);
      for (const [title, row, expected] of bad) {
        const isGoodFlags = row.flags === undefined;
        t.is(engine.start([isGoodFlags ? { ...row, flags } : row]), 1, title);
        t.deepEqual(await engine.results(1), [expected], title);
      }
      t.true(memory.bytes.every((byte) => byte === 6));
      t.true(disk.bytes.every((byte) => byte === 5));
    }
  });

  test(`${mode}: a bad row does not disturb its batch`, async (t) => {
    const fd = makeFile(t);
    const memory = mapMemory(t, 4 * PAGE);
    const engine = new EngineDriver(t, mode);
    const good = (at: number): Row => ({
      kind: IoKind.READ_FILE,
      file: fd,
      vectors: [[memory.id, at, PAGE]],
    });
    const results = await engine.run(
      good(0),
      { ...good(0), kind: 99 },
      good(PAGE),
      { ...good(0), file: -1 },
      good(0),
    );
    t.deepEqual(results, [PAGE, Errno.EINVAL, PAGE, Errno.EBADF, PAGE]);
  });

  test(`${mode}: nothing to do is done at once`, async (t) => {
    const fd = makeFile(t);
    const disk = mapMemory(t, PAGE);
    const engine = new EngineDriver(t, mode);
    const rows = [
      IoKind.READ_FILE,
      IoKind.WRITE_FILE,
      IoKind.PUNCH_HOLE,
      IoKind.ZERO_RANGE,
      IoKind.PREFETCH,
    ].map((kind): Row => ({ kind, file: fd }));
    rows.push(
      { kind: IoKind.RAM_ZERO, file: disk.id },
      { kind: IoKind.RAM_READ, file: disk.id, offset: PAGE },
    );
    t.is(engine.start(rows), rows.length);
    t.deepEqual(
      await engine.results(rows.length),
      rows.map(() => 0),
    );
    t.is(engine.raw.submit(0), 0);
    t.is(engine.raw.reap(), 0);
  });

  test(`${mode}: the slots for copies are for nothing else`, async (t) => {
    const fd = makeFile(t);
    const disk = mapMemory(t, PAGE);
    const engine = new EngineDriver(t, mode, { depth: 2, copies: 2 });
    const read: Row = { kind: IoKind.READ_FILE, file: fd, vectors: [[disk.id, 0, 512]] };
    const copy: Row = { kind: IoKind.RAM_READ, file: disk.id, vectors: [[disk.id, 0, 512]] };
    engine.start([copy, read, copy, read]);
    t.deepEqual(await engine.results(4), [512, 512, 512, Errno.EINVAL]);
    engine.fill([{ ...copy, raw: { 1: 4 } }]);
    t.throws(() => engine.raw.submit(1), { message: /names no slot/ });
  });

  test(`${mode}: slots that do not exist or are in use are refused, and nothing starts`, async (t) => {
    const slow = slowWrite(t);
    const engine = new EngineDriver(t, mode, { depth: 4 });
    for (const slot of [-1, 4, 0.5, Number.NaN]) {
      engine.fill([
        { kind: IoKind.CANCELLED, file: 0 },
        { ...slow, raw: { 1: slot } },
      ]);
      t.throws(() => engine.raw.submit(2), { instanceOf: RangeError }, String(slot));
    }
    engine.fill([slow, { ...slow, raw: { 1: 0 } }]);
    t.throws(() => engine.raw.submit(2), { instanceOf: RangeError }, 'twice in a batch');
    engine.start([slow]);
    engine.fill([slow]);
    t.throws(() => engine.raw.submit(1), { instanceOf: RangeError }, 'running');
    t.throws(() => engine.raw.submit(5), { instanceOf: RangeError }, 'more rows than the table has');
    t.deepEqual(await engine.results(1), [SLOW_LENGTH]);
    t.deepEqual(await engine.run({ kind: IoKind.CANCELLED, file: 0 }), [Errno.ECANCELED], 'and goes on');
  });
}

test('options out of range are refused', (t) => {
  const good = { depth: 1, maxVectors: 1, mode: 'threads' as const, threads: 1, onReady: () => {} };
  for (const bad of [
    { depth: 0 },
    { depth: 1e9 },
    { depth: 1.5 },
    { maxVectors: 0 },
    { threads: 0 },
    { threads: 1e6 },
    { mode: 'magic' as 'auto' },
  ]) {
    t.is(addon.createEngine({ ...good, ...bad }), Errno.EINVAL, JSON.stringify(bad));
  }
});
