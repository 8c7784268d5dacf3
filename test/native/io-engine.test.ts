import { readFileSync } from 'node:fs';
import test from 'ava';
import { IoFlag } from '../../src/native/engine-spec.ts';
import { Errno } from '../../src/native/errno.ts';
import { IoEngine, type IoOwner } from '../../src/native/io-engine.ts';
import { Recorder, segments, setUp } from './io-engine-support.ts';
import { KIB, MIB, PAGE, USABLE_MODES, type Vector } from './support.ts';

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
