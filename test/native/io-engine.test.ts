import { spawnSync } from 'node:child_process';
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { IoFlag } from '../../src/native/engine-spec.ts';
import { Errno, LunportError } from '../../src/native/errno.ts';
import { IoEngine, type IoEngineOptions, type IoOwner } from '../../src/native/io-engine.ts';
import { RegionMemory } from '../../src/native/memory.ts';
import type { Segments } from '../../src/native/segments.ts';
import { CAN_HANG, hangingFile } from '../support/hanging-file.ts';
import {
  KIB,
  MIB,
  openFile,
  openPipe,
  PAGE,
  pattern,
  temporaryFolder,
  USABLE_MODES,
  until,
  type Vector,
} from './support.ts';

function segments(...vectors: Vector[]): Segments {
  return {
    regions: Int32Array.from(vectors, ([region]) => region),
    offsets: Float64Array.from(vectors, ([, offset]) => offset),
    lengths: Float64Array.from(vectors, ([, , length]) => length),
    count: vectors.length,
  };
}

function setUp(t: ExecutionContext, options: IoEngineOptions = {}) {
  const engine = new IoEngine(options);
  const memory = new RegionMemory();
  const guest = memory.mapAnonymous(4 * MIB);
  const bytes = memory.bytes(guest, 0, 4 * MIB);
  const path = join(temporaryFolder(t), 'file');
  const fd = openFile(t, path);
  const content = pattern(MIB);
  writeSync(fd, content, 0, MIB, 0);
  t.teardown(async () => {
    await engine.drain();
    engine.close();
  });
  return { engine, memory, guest, bytes, fd, path, content };
}

class Recorder implements IoOwner {
  results: number[] = [];
  #then: ((result: number) => void) | undefined;

  constructor(then?: (result: number) => void) {
    this.#then = then;
  }

  ioCompleted(result: number): void {
    this.results.push(result);
    this.#then?.(result);
  }
}

for (const mode of USABLE_MODES) {
  test(`${mode}: a sub-range of the segments is read and written`, async (t) => {
    const { engine, guest, bytes, fd, path, content } = setUp(t, { mode });
    t.is(engine.mode, mode);
    const list = segments([guest.id, 0, 1000], [guest.id, 5000, 1000], [guest.id, 9000, 1000]);
    for (const flags of [0, IoFlag.INLINE]) {
      for (const [skip, length] of [
        [0, 3000],
        [0, 1000],
        [999, 2],
        [1000, 1000],
        [1500, 1500],
        [2999, 1],
        [3000, 0],
      ]) {
        bytes.fill(0);
        const owner = new Recorder();
        engine.read(fd, 12345, length, list, skip, flags, owner);
        t.is(engine.inFlight, 1);
        await engine.drain();
        t.deepEqual(owner.results, [length]);
        const flat = Buffer.concat([0, 5000, 9000].map((at) => bytes.subarray(at, at + 1000)));
        t.deepEqual(new Uint8Array(flat.subarray(skip, skip + length)), content.slice(12345, 12345 + length));
        t.true(flat.subarray(0, skip).every((byte) => byte === 0));
        t.true(flat.subarray(skip + length).every((byte) => byte === 0));
        const writer = new Recorder();
        engine.write(fd, 2 * MIB, length, list, skip, flags, writer);
        await engine.drain();
        t.deepEqual(writer.results, [length]);
        const written = readFileSync(path).subarray(2 * MIB, 2 * MIB + length);
        t.deepEqual(new Uint8Array(written), content.slice(12345, 12345 + length));
      }
    }
  });

  test(`${mode}: segments that are too short, and operations too scattered, are refused`, async (t) => {
    const { engine, guest, bytes, fd } = setUp(t, { mode, maxVectors: 8 });
    const short = new Recorder();
    engine.read(fd, 0, 1001, segments([guest.id, 0, 1000]), 0, 0, short);
    const past = new Recorder();
    engine.read(fd, 0, 1, segments([guest.id, 0, 1000]), 1000, 0, past);
    const nine = segments(...Array.from({ length: 9 }, (_, i): Vector => [guest.id, i * 100, 10]));
    const scattered = new Recorder();
    engine.read(fd, 0, 90, nine, 0, 0, scattered);
    const fits = new Recorder();
    engine.read(fd, 0, 80, nine, 10, 0, fits);
    await engine.drain();
    t.deepEqual(short.results, [Errno.EINVAL]);
    t.deepEqual(past.results, [Errno.EINVAL]);
    t.deepEqual(scattered.results, [Errno.EINVAL]);
    t.deepEqual(fits.results, [80]);
    t.is(bytes[0], 0);
  });

  test(`${mode}: far more operations than there is room for, in order of their queueing`, async (t) => {
    const { engine, guest, bytes, fd, content } = setUp(t, { mode, depth: 16, maxVectors: 20, threads: 3 });
    const owners = Array.from({ length: 1000 }, (_, i) => {
      const owner = new Recorder();
      const at = (i % 250) * PAGE;
      const list = segments([guest.id, i * PAGE, 512], [guest.id, i * PAGE + 1024, 512]);
      engine.read(fd, at, 1024, list, 0, i % 2 === 0 ? 0 : IoFlag.INLINE, owner);
      return owner;
    });
    t.is(engine.inFlight, 1000);
    await engine.drain();
    t.is(engine.inFlight, 0);
    t.true(owners.every((owner) => owner.results.length === 1 && owner.results[0] === 1024));
    for (let i = 0; i < 1000; i++) {
      const at = (i % 250) * PAGE;
      t.deepEqual(bytes.slice(i * PAGE, i * PAGE + 512), content.slice(at, at + 512));
      t.deepEqual(bytes.slice(i * PAGE + 1024, i * PAGE + 1536), content.slice(at + 512, at + 1024));
    }
  });

  test(`${mode}: durability and allocation`, async (t) => {
    const { engine, guest, fd, path } = setUp(t, { mode });
    const owner = new Recorder();
    engine.write(fd, 0, PAGE, segments([guest.id, 0, PAGE]), 0, IoFlag.FUA, owner);
    engine.fsync(fd, owner);
    engine.preallocate(fd, MIB, MIB, owner);
    engine.prefetch(fd, 0, MIB, owner);
    await engine.drain();
    engine.punchHole(fd, 64 * KIB, 64 * KIB, owner);
    engine.zeroRange(fd, 256 * KIB, 64 * KIB, owner);
    await engine.drain();
    t.deepEqual(
      owner.results.toSorted((a, b) => a - b),
      [0, 0, 0, 0, 0, PAGE],
    );
    const bytes = readFileSync(path);
    t.true(bytes.subarray(64 * KIB, 128 * KIB).every((byte) => byte === 0));
    t.true(bytes.subarray(256 * KIB, 320 * KIB).every((byte) => byte === 0));
  });

  test(`${mode}: cancel reaches queued, waiting and running operations`, async (t) => {
    const { engine, guest, fd } = setUp(t, { mode, depth: 4, threads: 1 });
    const list = segments([guest.id, 0, PAGE]);
    const owner = new Recorder();
    const other = new Recorder();
    for (let i = 0; i < 8; i++) engine.read(fd, 0, PAGE, list, 0, 0, i % 2 === 0 ? owner : other);
    engine.cancel(owner);
    t.deepEqual(owner.results, [], 'nobody is called from within cancel');
    await engine.drain();
    t.deepEqual(owner.results, [Errno.ECANCELED, Errno.ECANCELED, Errno.ECANCELED, Errno.ECANCELED]);
    t.deepEqual(other.results, [PAGE, PAGE, PAGE, PAGE]);
    engine.read(fd, 0, PAGE, list, 0, 0, owner);
    engine.run();
    engine.cancel(owner);
    engine.cancel(other);
    await engine.drain();
    t.is(owner.results.length, 5);
  });

  test(`${mode}: work that follows from a background completion is started without being asked`, async (t) => {
    const { engine, guest, fd } = setUp(t, { mode });
    const list = segments([guest.id, 0, PAGE]);
    let left = 20;
    const done = new Promise<void>((resolve) => {
      const owner: IoOwner = {
        ioCompleted(result) {
          t.is(result, PAGE);
          if (--left > 0) engine.read(fd, 0, PAGE, list, 0, 0, owner);
          else resolve();
        },
      };
      engine.read(fd, 0, PAGE, list, 0, 0, owner);
    });
    engine.run();
    await done;
    t.is(engine.inFlight, 0);
  });
}

test('RAM operations complete within run', (t) => {
  const { engine, memory, guest, bytes } = setUp(t);
  const disk = memory.mapAnonymous(MIB);
  const diskBytes = memory.bytes(disk, 0, MIB);
  diskBytes.set(pattern(MIB, 5));
  const owner = new Recorder();
  engine.ramRead(disk.id, 100, 5000, segments([guest.id, 0, 2000], [guest.id, 3000, 4000]), 500, owner);
  t.deepEqual(owner.results, []);
  engine.run();
  t.deepEqual(owner.results, [5000]);
  t.deepEqual(bytes.slice(500, 2000), diskBytes.slice(100, 1600));
  t.deepEqual(bytes.slice(3000, 6500), diskBytes.slice(1600, 5100));
  bytes.fill(9);
  engine.ramWrite(disk.id, 0, 10, segments([guest.id, 0, 10]), 0, owner);
  engine.ramZero(disk.id, 10, 10, owner);
  engine.run();
  t.deepEqual(owner.results, [5000, 10, 0]);
  t.deepEqual([...diskBytes.slice(0, 20)], [...new Array(10).fill(9), ...new Array(10).fill(0)]);
  t.is(engine.inFlight, 0);
});

/** Past the caches, where the disk is large and whole lines are written: each of these conditions once not met. */
for (const [what, diskLength, at, from, length] of [
  ['long and aligned', 64 * MIB, 4096, 512, 128 * KIB],
  ['from an odd address', 64 * MIB, 4096, 3, 128 * KIB],
  ['to an odd address', 64 * MIB, 4097, 512, 128 * KIB],
  ['of an odd length', 64 * MIB, 4096, 512, 128 * KIB - 1],
  ['to a small disk', MIB, 4096, 512, 128 * KIB],
  ['just long enough', 64 * MIB, 64 * MIB - 64 * KIB, 512, 64 * KIB],
] as const) {
  test(`a write to memory arrives whole and nowhere else: ${what}`, (t) => {
    const { engine, memory } = setUp(t);
    const source = memory.mapAnonymous(MIB);
    memory.bytes(source, 0, MIB).set(pattern(MIB, 7));
    const disk = memory.mapAnonymous(diskLength);
    const around = Math.min(PAGE, diskLength - at - length);
    const bytes = memory.bytes(disk, at - PAGE, PAGE + length + around).fill(1);
    const owner = new Recorder();
    engine.ramWrite(disk.id, at, length, segments([source.id, from, length]), 0, owner);
    engine.run();
    t.deepEqual(owner.results, [length]);
    t.deepEqual(bytes.slice(PAGE, PAGE + length), pattern(MIB, 7).slice(from, from + length));
    t.true(bytes.subarray(0, PAGE).every((byte) => byte === 1));
    t.true(bytes.subarray(PAGE + length).every((byte) => byte === 1));
  });
}

test('a write of the disk to itself moves what was there', (t) => {
  const { engine, memory } = setUp(t);
  const length = 128 * KIB;
  const disk = memory.mapAnonymous(64 * MIB);
  const bytes = memory.bytes(disk, 0, 2 * length);
  const before = pattern(2 * length, 9);
  bytes.set(before);
  const owner = new Recorder();
  engine.ramWrite(disk.id, PAGE, length, segments([disk.id, 0, length]), 0, owner);
  engine.run();
  t.deepEqual(bytes.slice(PAGE, PAGE + length), before.slice(0, length));
});

test('run within an owner goes on in the outer one, and a batch ends once', (t) => {
  const { engine, memory } = setUp(t);
  const disk = memory.mapAnonymous(PAGE);
  const log: string[] = [];
  const listener = { batchEnded: () => log.push('end') };
  engine.addBatchEndListener(listener);
  let rounds = 0;
  const owner: IoOwner = {
    ioCompleted() {
      log.push(`round ${++rounds}`);
      if (rounds < 3) {
        engine.ramZero(disk.id, 0, 1, owner);
        engine.run();
        log.push('after run');
      }
    },
  };
  engine.ramZero(disk.id, 0, 1, owner);
  engine.run();
  t.deepEqual(log, ['round 1', 'after run', 'round 2', 'after run', 'round 3', 'end']);
  engine.removeBatchEndListener(listener);
  engine.removeBatchEndListener(listener);
  engine.run();
  t.is(log.length, 6);
});

test('a batch within an owner ends with the outer one: what is queued later starts by itself', async (t) => {
  const { engine, guest, memory } = setUp(t);
  const disk = memory.mapAnonymous(64 * KIB);
  const queue = (owner: IoOwner) => engine.ramRead(disk.id, 0, 512, segments([guest.id, 0, 512]), 0, owner);
  queue(
    new Recorder(() => {
      engine.beginBatch();
      engine.run();
    }),
  );
  engine.run();
  t.false(engine.inBatch);
  const later = new Recorder();
  queue(later);
  await Promise.resolve();
  t.deepEqual(later.results, [512]);
});

test('what a batch-end listener queues is started, and ends with it called again', (t) => {
  const { engine, memory } = setUp(t);
  const disk = memory.mapAnonymous(PAGE);
  const owner = new Recorder();
  let ends = 0;
  engine.addBatchEndListener({
    batchEnded() {
      if (++ends < 3) engine.ramZero(disk.id, 0, 1, owner);
    },
  });
  engine.run();
  t.is(ends, 3);
  t.deepEqual(owner.results, [0, 0]);
});

test('owners that never stop leave others their turn', async (t) => {
  const { engine, memory } = setUp(t);
  const disk = memory.mapAnonymous(PAGE);
  let stopped = false;
  let rounds = 0;
  const owner: IoOwner = {
    ioCompleted() {
      rounds++;
      if (!stopped) engine.ramZero(disk.id, 0, 1, owner);
    },
  };
  engine.ramZero(disk.id, 0, 1, owner);
  engine.run();
  await new Promise((resolve) => setTimeout(resolve, 5));
  t.true(rounds > 100);
  stopped = true;
  await engine.drain();
  t.is(engine.inFlight, 0);
});

test('an owner that throws loses no other completion', (t) => {
  const defects: unknown[] = [];
  const { engine, memory } = setUp(t, { defect: (error) => defects.push(error) });
  const disk = memory.mapAnonymous(PAGE);
  const before = new Recorder();
  const after = new Recorder();
  const bad = new Recorder(() => {
    throw new Error('owner');
  });
  let ends = 0;
  engine.addBatchEndListener({
    batchEnded() {
      throw new Error('listener');
    },
  });
  engine.addBatchEndListener({ batchEnded: () => ends++ });
  for (const owner of [before, bad, after]) engine.ramZero(disk.id, 0, 1, owner);
  engine.run();
  t.deepEqual([before.results, after.results], [[0], [0]]);
  t.is(ends, 1);
  t.deepEqual(
    defects.map((error) => (error as Error).message),
    ['owner', 'listener'],
  );
  engine.ramZero(disk.id, 0, 1, before);
  engine.run();
  t.deepEqual(before.results, [0, 0]);
});

test('slots are used again for ever', (t) => {
  const { engine, memory } = setUp(t, { depth: 3 });
  const disk = memory.mapAnonymous(PAGE);
  const owner = new Recorder();
  for (let i = 0; i < 1000; i++) {
    for (let j = 0; j < 5; j++) engine.ramZero(disk.id, 0, 1, owner);
    engine.run();
  }
  t.is(owner.results.length, 5000);
  t.true(owner.results.every((result) => result === 0));
});

test('nothing in flight: drain resolves at once, closing works', async (t) => {
  const engine = new IoEngine();
  await engine.drain();
  engine.close();
  t.pass();
});

test('an engine that cannot be made is an error', (t) => {
  const error = t.throws(() => new IoEngine({ depth: 0 }), { instanceOf: LunportError, code: 'EINVAL' });
  t.regex(error.message, /io engine/);
});

test.serial('LUNPORT_IO chooses the mode, unless the code does', (t) => {
  t.teardown(() => {
    delete process.env['LUNPORT_IO'];
  });
  process.env['LUNPORT_IO'] = 'threads';
  const forced = new IoEngine();
  t.is(forced.mode, 'threads');
  forced.close();
  process.env['LUNPORT_IO'] = 'magic';
  t.throws(() => new IoEngine(), { message: /LUNPORT_IO/ });
  const chosen = new IoEngine({ mode: 'threads' });
  t.is(chosen.mode, 'threads');
  chosen.close();
});

/** Runs a program for which io_uring_setup (425 on every machine) fails with EPERM, as in many containers. */
const FORBID_IO_URING = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = b''.join(struct.pack('HBBI', *row) for row in [
  (0x20, 0, 0, 0),            # load the system call's number
  (0x15, 0, 1, 425),          # is it io_uring_setup?
  (0x06, 0, 0, 0x00050001),   # then fail with EPERM
  (0x06, 0, 0, 0x7fff0000)])  # else allow
filter = ctypes.create_string_buffer(code)
program = struct.pack('HxxxxxxP', 4, ctypes.addressof(filter))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.c_char_p(program)) == 0
os.execv(sys.argv[1], sys.argv[1:])
`;

test('where io_uring is forbidden, threads do its work', (t) => {
  const url = (name: string) => JSON.stringify(new URL(`../../src/native/${name}.js`, import.meta.url).href);
  const script = `
    const { addon } = await import(${url('addon')});
    const { IoEngine } = await import(${url('io-engine')});
    const { openSync } = await import('node:fs');
    let refused = '';
    try { new IoEngine({ mode: 'io_uring' }); } catch (error) { refused = error.code; }
    const engine = new IoEngine();
    const results = [];
    engine.fsync(openSync(${JSON.stringify(import.meta.filename)}, 'r'), { ioCompleted: (result) => results.push(result) });
    await engine.drain();
    engine.close();
    console.log(addon.probeIoUring(), refused, engine.mode, results.join());`;
  const options = ['-c', FORBID_IO_URING, process.execPath, '--input-type=module', '-e', script];
  const child = spawnSync('python3', options, { encoding: 'utf8' });
  t.is(child.stdout.trim(), `${Errno.EPERM} EPERM threads 0`, child.stderr);
});

if (USABLE_MODES.includes('io_uring')) {
  test('files that hang with more operations than there is room for do not stop the others', async (t) => {
    const { engine, guest, fd } = setUp(t, { mode: 'io_uring', depth: 16 });
    const list = segments([guest.id, 0, PAGE]);
    const hanging = Array.from({ length: 5 }, () => {
      const owner = new Recorder();
      const pipe = openPipe(t);
      for (let i = 0; i < 40; i++) engine.read(pipe, 0, 1, list, 0, 0, owner);
      return owner;
    });
    for (let round = 0; round < 3; round++) {
      const owner = new Recorder();
      for (let i = 0; i < 40; i++) engine.read(fd, i * PAGE, PAGE, list, 0, 0, owner);
      await until(() => owner.results.length === 40);
      t.true(owner.results.every((result) => result === PAGE));
    }
    t.is(engine.inFlight, 5 * 40);
    for (const owner of hanging) engine.cancel(owner);
    await engine.drain();
    for (const { results } of hanging) t.deepEqual(results, new Array(40).fill(Errno.ECANCELED));
  });
}

for (const mode of CAN_HANG ? USABLE_MODES : []) {
  test(`${mode}: a file whose server hangs, with all that it may have in flight, holds up no sync of another`, async (t) => {
    const { engine, guest, fd } = setUp(t, { mode });
    const list = segments([guest.id, 0, PAGE]);
    const hanging = new Recorder();
    const file = await hangingFile(join(temporaryFolder(t), 'hanging'));
    try {
      file.hang();
      // Each of them blocks a worker of the kernel, or a thread.
      for (let i = 0; i < 400; i++) engine.read(file.fd, i * PAGE, PAGE, list, 0, IoFlag.WORKER, hanging);
      const others = new Recorder();
      for (let i = 0; i < 40; i++) {
        engine.write(fd, i * PAGE, PAGE, list, 0, 0, others);
        engine.fsync(fd, others);
      }
      await until(() => others.results.length === 80);
      t.true(others.results.every((result) => result === PAGE || result === 0));
      t.deepEqual(hanging.results, []);
      engine.cancel(hanging);
    } finally {
      await file.release();
    }
    await engine.drain();
    t.is(hanging.results.length, 400);
    t.true(hanging.results.every((result) => result < 0));
  });
}

test('an operation allocates nothing', (t) => {
  const { engine, memory, guest } = setUp(t);
  const disk = memory.mapAnonymous(MIB);
  const list = segments([guest.id, 0, PAGE]);
  const owner = { ioCompleted() {} };
  const round = () => {
    for (let i = 0; i < 32; i++) engine.ramRead(disk.id, i * PAGE, PAGE, list, 0, owner);
    engine.run();
  };
  for (let i = 0; i < 3000; i++) round();
  // The least of several tries: the compiler and the collector have their own moments.
  const tries = Array.from({ length: 10 }, () => {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 300; i++) round();
    return (process.memoryUsage().heapUsed - before) / (300 * 32);
  });
  const perOperation = Math.min(...tries.map(Math.abs));
  // A number object alone would be 12 bytes.
  t.true(perOperation < 2, `${tries.join(', ')} bytes per operation`);
});
