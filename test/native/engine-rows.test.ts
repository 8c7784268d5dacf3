/** The raw engine, one table of rows for both modes. */
import { closeSync, constants, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { addon } from '../../src/native/addon.ts';
import { IoFlag, IoKind } from '../../src/native/engine-spec.ts';
import { Errno } from '../../src/native/errno.ts';
import {
  EngineDriver,
  KIB,
  MIB,
  mapMemory,
  openFile,
  openPipe,
  PAGE,
  pattern,
  type Row,
  temporaryFolder,
  USABLE_MODES,
  type Vector,
} from './support.ts';

const FILE_LENGTH = 64 * PAGE + 100;
const CONTENT = pattern(FILE_LENGTH);

function makeFile(t: ExecutionContext, parent?: string, extraFlags = 0): number {
  const path = join(temporaryFolder(t, parent), 'disk');
  const fd = openFile(t, path);
  writeSync(fd, CONTENT, 0, FILE_LENGTH, 0);
  return extraFlags === 0 ? fd : openFile(t, path, extraFlags);
}

for (const mode of USABLE_MODES) {
  for (const [way, flags] of [
    ['in the background', 0],
    ['inline', IoFlag.INLINE],
  ] as const) {
    for (const [place, parent] of [
      ['on disk', undefined],
      ['in memory', '/dev/shm'],
    ] as const) {
      const title = `${mode}, ${way}, ${place}`;

      test(`${title}: reads scatter over many vectors`, async (t) => {
        const fd = makeFile(t, parent);
        const memory = mapMemory(t, MIB);
        const vectors: Vector[] = [
          [memory.id, 0, 1],
          [memory.id, 100, 511],
          [memory.id, 5000, 0],
          [memory.id, 8192, 4096],
        ];
        const engine = new EngineDriver(t, mode);
        const [result] = await engine.run({ kind: IoKind.READ_FILE, file: fd, flags, offset: 77, vectors });
        t.is(result, 4608);
        const expected = CONTENT.subarray(77, 77 + 4608);
        t.deepEqual(memory.bytes.subarray(0, 1), expected.subarray(0, 1));
        t.deepEqual(memory.bytes.subarray(100, 611), expected.subarray(1, 512));
        t.deepEqual(memory.bytes.subarray(8192, 12288), expected.subarray(512));
        t.is(memory.bytes[1], 0);
      });

      test(`${title}: writes gather, and read back`, async (t) => {
        const fd = makeFile(t, parent);
        const memory = mapMemory(t, MIB);
        memory.bytes.set(pattern(MIB, 3));
        const engine = new EngineDriver(t, mode);
        const vectors: Vector[] = [
          [memory.id, 10, 300],
          [memory.id, 4000, 9000],
        ];
        const written = await engine.run({ kind: IoKind.WRITE_FILE, file: fd, flags, offset: 1000, vectors });
        t.deepEqual(written, [9300]);
        const back: Vector[] = [[memory.id, 500 * KIB, 9300]];
        await engine.run({ kind: IoKind.READ_FILE, file: fd, flags, offset: 1000, vectors: back });
        const expected = Buffer.concat([memory.bytes.subarray(10, 310), memory.bytes.subarray(4000, 13000)]);
        t.deepEqual(Buffer.from(memory.bytes.subarray(500 * KIB, 500 * KIB + 9300)), expected);
      });

      test(`${title}: a read at the end of the file is short`, async (t) => {
        const fd = makeFile(t, parent);
        const memory = mapMemory(t, MIB);
        const engine = new EngineDriver(t, mode);
        const read = (offset: number): Row => ({
          kind: IoKind.READ_FILE,
          file: fd,
          flags,
          offset,
          vectors: [
            [memory.id, 0, 60],
            [memory.id, 4096, 4096],
          ],
        });
        t.deepEqual(await engine.run(read(FILE_LENGTH - 100)), [100]);
        t.deepEqual(await engine.run(read(FILE_LENGTH - 60)), [60]);
        t.deepEqual(await engine.run(read(FILE_LENGTH)), [0]);
        t.deepEqual(await engine.run(read(FILE_LENGTH + 10 * PAGE)), [0]);
      });

      test(`${title}: more vectors than one system call takes`, async (t) => {
        const fd = makeFile(t, parent);
        const memory = mapMemory(t, MIB);
        const engine = new EngineDriver(t, mode);
        const vectors = Array.from({ length: 2500 }, (_, i): Vector => [memory.id, i * 100, 50]);
        const rows: Row[] = [{ kind: IoKind.READ_FILE, file: fd, flags, offset: 5, vectors }];
        t.deepEqual(await engine.run(...rows), [125_000]);
        for (let i = 0; i < 2500; i++) {
          const at = 5 + i * 50;
          if (
            Buffer.compare(memory.bytes.subarray(i * 100, i * 100 + 50), CONTENT.subarray(at, at + 50)) !== 0
          ) {
            t.fail(`vector ${i}`);
          }
        }
        const write: Row = { kind: IoKind.WRITE_FILE, file: fd, flags, offset: MIB, vectors };
        t.deepEqual(await engine.run(write), [125_000]);
        const back: Row = {
          kind: IoKind.READ_FILE,
          file: fd,
          offset: MIB,
          vectors: [[memory.id, 0, 125_000]],
        };
        t.deepEqual(await engine.run(back), [125_000]);
        t.deepEqual(memory.bytes.slice(0, 125_000), CONTENT.slice(5, 125_005));
      });

      test(`${title}: a full batch completes, each slot once`, async (t) => {
        const fd = makeFile(t, parent);
        const memory = mapMemory(t, 4 * MIB);
        const engine = new EngineDriver(t, mode, { depth: 1000 });
        const rows = Array.from({ length: 1000 }, (_, i): Row => {
          const vectors: Vector[] = [[memory.id, i * PAGE, 512]];
          return { kind: IoKind.READ_FILE, file: fd, flags, offset: (i % 64) * PAGE, vectors };
        });
        const results = await engine.run(...rows);
        t.true(results.every((result) => result === 512));
        for (let i = 0; i < 1000; i += 37) {
          const expected = CONTENT.slice((i % 64) * PAGE, (i % 64) * PAGE + 512);
          t.deepEqual(memory.bytes.slice(i * PAGE, i * PAGE + 512), expected);
        }
      });
    }
  }

  test(`${mode}: FUA, sync, preallocation and prefetch`, async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'disk');
    const fd = openFile(t, path);
    const memory = mapMemory(t, MIB);
    memory.bytes.set(pattern(MIB));
    const engine = new EngineDriver(t, mode);
    const write: Row = {
      kind: IoKind.WRITE_FILE,
      file: fd,
      flags: IoFlag.FUA | IoFlag.INLINE,
      vectors: [[memory.id, 0, MIB]],
    };
    t.deepEqual(await engine.run(write), [MIB]);
    t.deepEqual(await engine.run({ kind: IoKind.FSYNC, file: fd }), [0]);
    t.deepEqual(await engine.run({ kind: IoKind.PREFETCH, file: fd, length: MIB }), [0]);
    t.deepEqual(await engine.run({ kind: IoKind.PREALLOCATE, file: fd, offset: MIB, length: MIB }), [0]);
    t.is(statSync(path).size, MIB, 'the size stays');
    t.true(statSync(path).blocks * 512 >= 2 * MIB);
    t.deepEqual(new Uint8Array(readFileSync(path)), memory.bytes);
  });

  test(`${mode}: holes and zeroed ranges read as zeroes`, async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'disk');
    const fd = openFile(t, path);
    writeSync(fd, pattern(MIB), 0, MIB, 0);
    const engine = new EngineDriver(t, mode);
    const results = await engine.run(
      { kind: IoKind.PUNCH_HOLE, file: fd, offset: 64 * KIB, length: 64 * KIB },
      { kind: IoKind.ZERO_RANGE, file: fd, offset: 256 * KIB, length: 64 * KIB },
      { kind: IoKind.PUNCH_HOLE, file: fd, offset: 2 * MIB, length: 64 * KIB },
    );
    t.deepEqual(results, [0, 0, 0]);
    const bytes = readFileSync(path);
    t.is(bytes.length, MIB);
    t.true(bytes.subarray(64 * KIB, 128 * KIB).every((byte) => byte === 0));
    t.true(bytes.subarray(256 * KIB, 320 * KIB).every((byte) => byte === 0));
    t.deepEqual(new Uint8Array(bytes.subarray(320 * KIB)), pattern(MIB).subarray(320 * KIB));
    t.is(addon.seekExtent(fd, 0, 1), 64 * KIB);
    t.is(addon.seekExtent(fd, 64 * KIB, 0), 128 * KIB);
  });

  test(`${mode}: direct I/O moves aligned data, and refuses the rest`, async (t) => {
    const fd = makeFile(t, undefined, constants.O_DIRECT);
    const alignment = addon.directAlignment(fd);
    if (typeof alignment === 'number') {
      t.log(`no O_DIRECT here: ${alignment}`);
      t.pass();
      return;
    }
    const memory = mapMemory(t, MIB);
    const engine = new EngineDriver(t, mode);
    const flags = IoFlag.DIRECT | IoFlag.INLINE;
    const read = (offset: number, at: number, length: number): Row => ({
      kind: IoKind.READ_FILE,
      file: fd,
      flags,
      offset,
      vectors: [[memory.id, at, length]],
    });
    t.deepEqual(await engine.run(read(0, 0, 8192)), [8192]);
    t.deepEqual(memory.bytes.slice(0, 8192), CONTENT.slice(0, 8192));
    t.deepEqual(await engine.run(read(1, 0, 4096)), [Errno.EINVAL]);
    t.deepEqual(await engine.run(read(0, 0, 100)), [Errno.EINVAL]);
    t.deepEqual(await engine.run(read(0, 1, 4096)), [Errno.EINVAL]);
    const write: Row = {
      ...read(0, 0, 8192),
      kind: IoKind.WRITE_FILE,
      flags: flags | IoFlag.FUA,
      offset: 8192,
    };
    t.deepEqual(await engine.run(write), [8192]);
    // The file ends within a block: the count says where.
    t.deepEqual(await engine.run(read(64 * PAGE, 0, 8192)), [100]);
  });

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

const SLOW_LENGTH = 64 * MIB;

/** Cannot be done inline, and takes many milliseconds. */
function slowWrite(t: ExecutionContext): Row {
  const memory = mapMemory(t, SLOW_LENGTH, 'anonymous');
  const file = openFile(t, join(temporaryFolder(t), 'slow'));
  return { kind: IoKind.WRITE_FILE, file, flags: IoFlag.FUA, vectors: [[memory.id, 0, SLOW_LENGTH]] };
}
