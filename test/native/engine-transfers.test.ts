/** What the raw engine does to files: each kind of row, in both modes. */
import { constants, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { IoFlag, IoKind } from '../../src/native/engine-spec.ts';
import { Errno } from '../../src/native/errno.ts';
import { CONTENT, FILE_LENGTH, makeFile } from './engine-files.ts';
import {
  EngineDriver,
  KIB,
  MIB,
  mapMemory,
  openFile,
  PAGE,
  pattern,
  type Row,
  temporaryFolder,
  USABLE_MODES,
  type Vector,
} from './support.ts';

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
}
