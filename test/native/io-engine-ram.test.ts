/** Disks in memory: their operations complete within `run`. */
import test from 'ava';
import { Errno } from '../../src/native/errno.ts';
import { Recorder, segments, setUp } from './io-engine-support.ts';
import { KIB, MIB, PAGE, pattern } from './support.ts';

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

/** More than a batch has rows for, so that some wait. */
const MANY = 600;

test('copies that exceed a batch all complete, in their order, while files use every slot', async (t) => {
  const { engine, memory, guest, fd } = setUp(t, { depth: 2 });
  const disk = memory.mapAnonymous(MIB);
  const files = new Recorder();
  for (let i = 0; i < 4; i++) engine.read(fd, 0, PAGE, segments([guest.id, PAGE, PAGE]), 0, 0, files);
  const order: number[] = [];
  for (let i = 0; i < MANY; i++) {
    const owner = new Recorder(() => order.push(i));
    engine.ramWrite(disk.id, i, 1, segments([guest.id, i, 1]), 0, owner);
  }
  t.true(engine.inFlight >= MANY);
  await engine.drain();
  t.deepEqual(
    order,
    Array.from({ length: MANY }, (_, i) => i),
  );
  t.deepEqual(files.results, [PAGE, PAGE, PAGE, PAGE]);
  t.is(engine.inFlight, 0);
});

test('copies that are queued while others complete find their own owners', (t) => {
  const { engine, memory, guest } = setUp(t);
  const disk = memory.mapAnonymous(MIB);
  const results: string[] = [];
  const copy = (name: string, length: number, then: () => void) => {
    const owner = new Recorder((result) => {
      results.push(`${name} ${result}`);
      then();
    });
    engine.ramRead(disk.id, 0, length, segments([guest.id, 0, length]), 0, owner);
  };
  const end = () => {};
  copy('first', 1, () => copy('of the first', 3, end));
  copy('second', 2, () => copy('of the second', 4, () => copy('of that', 5, end)));
  engine.run();
  t.deepEqual(results, ['first 1', 'second 2', 'of the first 3', 'of the second 4', 'of that 5']);
});

test('a copy is cancelled until its batch runs', (t) => {
  const { engine, memory, guest, bytes } = setUp(t);
  const disk = memory.mapAnonymous(MIB);
  bytes.fill(1, 0, PAGE);
  const [kept, cancelled] = [new Recorder(), new Recorder()];
  engine.ramWrite(disk.id, 0, 10, segments([guest.id, 0, 10]), 0, kept);
  engine.ramWrite(disk.id, 10, 10, segments([guest.id, 0, 10]), 0, cancelled);
  engine.cancel(cancelled);
  engine.run();
  t.deepEqual([kept.results, cancelled.results], [[10], [Errno.ECANCELED]]);
  t.deepEqual([...memory.bytes(disk, 9, 2)], [1, 0]);
});

/** Past the caches, where the disk is large and whole lines are written: each of these conditions once not met. */
for (const [what, diskLength, at, from, length] of [
  ['long and aligned', 64 * MIB, 4096, 512, 128 * KIB],
  ['from an odd address', 64 * MIB, 4096, 3, 128 * KIB],
  ['to an odd address', 64 * MIB, 4097, 512, 128 * KIB],
  ['of an odd length', 64 * MIB, 4096, 512, 128 * KIB - 1],
  ['to a small disk', MIB, 4096, 512, 128 * KIB],
  ['just long enough', 64 * MIB, 64 * MIB - PAGE, 512, PAGE],
  ['a little too short', 64 * MIB, 64 * MIB - PAGE, 512, PAGE - 64],
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

test('operations of one batch on the same memory happen in their order', (t) => {
  const { engine, memory, guest, bytes } = setUp(t);
  const disk = memory.mapAnonymous(64 * MIB);
  bytes.set(pattern(PAGE, 3));
  bytes.fill(7, PAGE, 2 * PAGE);
  const owner = new Recorder();
  for (const [from, to] of [
    [0, 2 * PAGE],
    [PAGE, 3 * PAGE],
  ]) {
    engine.ramWrite(disk.id, 0, PAGE, segments([guest.id, from, PAGE]), 0, owner);
    engine.ramRead(disk.id, 0, PAGE, segments([guest.id, to, PAGE]), 0, owner);
  }
  engine.ramZero(disk.id, 0, PAGE, owner);
  engine.ramRead(disk.id, 0, PAGE, segments([guest.id, 4 * PAGE, PAGE]), 0, owner);
  engine.run();
  t.deepEqual(owner.results, [PAGE, PAGE, PAGE, PAGE, 0, PAGE]);
  t.deepEqual(bytes.slice(2 * PAGE, 3 * PAGE), pattern(PAGE, 3));
  t.true(bytes.subarray(3 * PAGE, 4 * PAGE).every((byte) => byte === 7));
  t.true(bytes.subarray(4 * PAGE, 5 * PAGE).every((byte) => byte === 0));
});

/** Each is copied while the next is fetched, which decides how: lengths and places of both, in one batch and alone. */
const READS: readonly (readonly [at: number, to: number, length: number])[] = [
  [0, 0, 4096],
  [8192, 4096, 4096],
  [100, 8195, 4097],
  [12288, 16384, 1],
  [77, 16386, 63],
  [40960, 20480, 16384],
  [65536, 36864, 16385],
  [MIB - 512, 61440, 512],
  [5, 65537, 12_000],
];
for (const [what, batch] of [
  ['in one batch', READS.length],
  ['one by one', 1],
] as const) {
  test(`reads of memory arrive whole and nowhere else, ${what}`, (t) => {
    const { engine, memory } = setUp(t);
    const content = pattern(MIB, 11);
    const disk = memory.mapAnonymous(MIB);
    memory.bytes(disk, 0, MIB).set(content);
    const target = memory.mapAnonymous(MIB);
    const bytes = memory.bytes(target, 0, MIB).fill(1);
    const expected = new Uint8Array(MIB).fill(1);
    const owner = new Recorder();
    for (const [i, [at, to, length]] of READS.entries()) {
      engine.ramRead(disk.id, at, length, segments([target.id, to, length]), 0, owner);
      expected.set(content.subarray(at, at + length), to);
      if ((i + 1) % batch === 0) engine.run();
    }
    t.deepEqual(
      owner.results,
      READS.map(([, , length]) => length),
    );
    t.is(Buffer.compare(bytes, expected), 0);
  });
}

test('a read of the disk into itself moves what was there', (t) => {
  const { engine, memory } = setUp(t);
  const disk = memory.mapAnonymous(MIB);
  const bytes = memory.bytes(disk, 0, MIB);
  const before = pattern(MIB, 13);
  bytes.set(before);
  const owner = new Recorder();
  engine.ramRead(disk.id, 0, PAGE, segments([disk.id, 64, PAGE]), 0, owner);
  engine.ramRead(disk.id, 64 * KIB, PAGE, segments([disk.id, 32 * KIB, PAGE]), 0, owner);
  engine.run();
  t.deepEqual(bytes.slice(64, 64 + PAGE), before.slice(0, PAGE));
});

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
