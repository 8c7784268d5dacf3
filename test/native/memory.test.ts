import { ftruncateSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { addon } from '../../src/native/addon.ts';
import { Errno, LunportError } from '../../src/native/errno.ts';
import { IoEngine } from '../../src/native/io-engine.ts';
import { copyBytes, RegionMemory } from '../../src/native/memory.ts';
import { GIB, KIB, MIB, openFile, PAGE, pattern, temporaryFolder } from './support.ts';

test('bytes are copied in and out, whatever their number', (t) => {
  const memory = new RegionMemory();
  const region = memory.mapAnonymous(MIB);
  const source = pattern(10 * KIB);
  for (const length of [0, 1, 51, 95, 96, 97, 4096, 10 * KIB - 3]) {
    memory.write(region.id, 777, source, 3, length);
    const back = new Uint8Array(length + 2);
    memory.read(region.id, 777, back, 1, length);
    t.deepEqual(back.subarray(1, length + 1), source.subarray(3, length + 3));
    t.is(back[0], 0);
    t.is(back[length + 1], 0);
  }
  t.true(memory.unmap(region));
});

test('ranges over the edges of windows are one range', (t) => {
  const memory = new RegionMemory();
  const region = memory.mapAnonymous(3.5 * GIB);
  t.is(region.windowCount, 3);
  t.is(region.windows.length, 3);
  t.is(region.windows[1], region.window(1));
  const data = pattern(8 * KIB);
  for (const offset of [GIB - 100, 2 * GIB - 100, 3 * GIB - 100, 3.5 * GIB - 8 * KIB]) {
    memory.write(region.id, offset, data, 0, data.length);
    const back = new Uint8Array(data.length);
    memory.read(region.id, offset, back, 0, data.length);
    t.deepEqual(back, data);
    t.deepEqual(memory.bytes(region, offset, data.length), data);
    t.is(memory.dataView(region, offset, 16).getUint8(15), data[15]);
  }
  // Longer than any one window reaches.
  const whole = new Uint8Array(2.25 * GIB);
  memory.read(region.id, GIB / 2, whole, 0, whole.length);
  t.deepEqual(whole.subarray(1.5 * GIB - 100, 1.5 * GIB + 100), memory.bytes(region, 2 * GIB - 100, 200));
  t.true(memory.unmap(region));
});

test('views have the machine’s byte order, and their alignment is checked', (t) => {
  const memory = new RegionMemory();
  const region = memory.mapAnonymous(PAGE);
  memory.write(region.id, 8, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 0, 8);
  t.deepEqual([...memory.u16(region, 8, 4)], [0x0201, 0x0403, 0x0605, 0x0807]);
  t.deepEqual([...memory.u32(region, 8, 2)], [0x04030201, 0x08070605]);
  memory.u32(region, 8, 2)[1] = 0xffffffff;
  t.is(memory.dataView(region, 12, 4).getInt32(0), -1);
  t.throws(() => memory.u16(region, 1, 1), { instanceOf: RangeError });
  t.throws(() => memory.u32(region, 2, 1), { instanceOf: RangeError });
  t.true(memory.unmap(region));
});

test('a range outside a region is a RangeError, never another byte', (t) => {
  const memory = new RegionMemory();
  const region = memory.mapAnonymous(PAGE);
  const bytes = new Uint8Array(2 * PAGE);
  const numbers = fc.oneof(
    fc.integer({ min: -10, max: 2 * PAGE }),
    fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -0, 0.5, 2 ** 32),
  );
  fc.assert(
    fc.property(numbers, numbers, (offset, length) => {
      const inside = offset >= 0 && length >= 0 && offset + length <= PAGE;
      for (const access of [
        () => memory.read(region.id, offset, bytes, 0, length),
        () => memory.write(region.id, offset, bytes, 0, length),
        () => memory.bytes(region, offset, length),
        () => memory.dataView(region, offset, length),
      ]) {
        if (inside) access();
        else t.throws(access, { instanceOf: RangeError });
      }
    }),
  );
  t.throws(() => memory.read(12345, 0, bytes, 0, 1), { instanceOf: RangeError });
  t.throws(() => memory.read(-1, 0, bytes, 0, 1), { instanceOf: RangeError });
  t.true(memory.unmap(region));
  t.throws(() => memory.read(region.id, 0, bytes, 0, 1), { instanceOf: RangeError });
});

test('what cannot be mapped is an error that names it', (t) => {
  const memory = new RegionMemory();
  const fd = addon.memfd('short', PAGE);
  const error = t.throws(() => memory.map(fd, 0, PAGE + 1, { name: 'guest memory' }), {
    instanceOf: LunportError,
    code: 'EINVAL',
  });
  t.is(error.object, 'guest memory');
  t.regex(error.message, /map guest memory/);
  addon.close(fd);
  t.throws(() => memory.mapAnonymous(2 ** 52), { code: 'ENOMEM' });
});

test('a region in use is not unmapped', async (t) => {
  const memory = new RegionMemory();
  const region = memory.mapAnonymous(64 * MIB);
  const engine = new IoEngine();
  const fd = openFile(t, join(temporaryFolder(t), 'file'));
  const segments = { triples: Float64Array.of(region.id, 0, 64 * MIB), count: 1 };
  let result = 0;
  const owner = { ioCompleted: (moved: number) => (result = moved) };
  engine.write(fd, 0, 64 * MIB, segments, 0, 1, owner);
  engine.run();
  t.false(memory.unmap(region));
  await engine.drain();
  t.is(result, 64 * MIB);
  t.true(memory.unmap(region));
  engine.close();
});

test('a fault is counted, and the region known as broken', (t) => {
  const memory = new RegionMemory();
  const fd = openFile(t, join(temporaryFolder(t, '/dev/shm'), 'memory'));
  ftruncateSync(fd, PAGE);
  const region = memory.map(fd, 0, PAGE);
  const before = memory.faults;
  t.false(memory.broken(region));
  ftruncateSync(fd, 0);
  const bytes = new Uint8Array(4).fill(1);
  memory.read(region.id, 0, bytes, 0, 4);
  t.deepEqual([...bytes], [0, 0, 0, 0]);
  t.true(memory.faults > before);
  t.true(memory.broken(region));
  t.true(memory.unmap(region));
});

test('buffers are aligned, zeroed, exact and used again', (t) => {
  const memory = new RegionMemory();
  for (const length of [0, 1, 4095, 4096, 4097, 65_536, 100_000, MIB]) {
    const one = memory.allocate(length);
    t.is(one.length, length);
    t.is(one.bytes.length, length);
    t.is(one.offset % PAGE, 0);
    t.true(one.bytes.every((byte) => byte === 0));
    one.bytes.fill(7);
    const seen = new Uint8Array(length);
    memory.read(one.region, one.offset, seen, 0, length);
    t.true(seen.every((byte) => byte === 7));
    memory.release(one);
    const again = memory.allocate(length);
    t.is(again.offset, one.offset);
    t.true(
      again.bytes.every((byte) => byte === 0),
      'nothing of its last owner',
    );
    memory.release(again);
  }
});

test('buffers of one time do not overlap', (t) => {
  const memory = new RegionMemory();
  const lengths = [1, 4096, 5000, 20_000, 4096, MIB, 4096, 70_000];
  const buffers = Array.from({ length: 400 }, (_, i) => memory.allocate(lengths[i % lengths.length]));
  for (const [i, buffer] of buffers.entries()) buffer.bytes.fill((i % 255) + 1);
  t.true(buffers.every((buffer, i) => buffer.bytes.every((byte) => byte === (i % 255) + 1)));
  for (const buffer of buffers) memory.release(buffer);
  t.throws(() => memory.release(buffers[0]), { message: /released before/ });
});

test('a big buffer is mapped for itself, and goes', (t) => {
  const memory = new RegionMemory();
  const big = memory.allocate(5 * MIB + 1);
  t.is(big.bytes.length, 5 * MIB + 1);
  big.bytes.fill(1);
  memory.release(big);
  t.true(big.bytes.subarray(0, MIB).every((byte) => byte === 0));
  t.is(addon.unmapRegion(big.region), Errno.EINVAL);
  t.throws(() => memory.release(big), { message: /released before/ });
  t.throws(() => memory.allocate(-1), { instanceOf: RangeError });
  t.throws(() => memory.allocate(0.5), { instanceOf: RangeError });
  t.throws(() => memory.allocate(Number.NaN), { instanceOf: RangeError });
});

test('copyBytes copies', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 50 }), (length, at) => {
      const from = pattern(length + 7, length + 1);
      const to = new Uint8Array(length + at + 1);
      copyBytes(from, 7, to, at, length);
      t.deepEqual(to.subarray(at, at + length), from.subarray(7));
      t.is(to[at + length], 0);
    }),
  );
});
