/** Reads by a mapping of the page cache: that they happen, what ends them, and that nobody sees a difference. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  ftruncateSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
// One after the other: a page fault that waits for the disk makes all of a thread's mappings rest.
import test, { type ExecutionContext } from 'ava';
import { addon } from '../../src/native/addon.ts';
import { IoFlag } from '../../src/native/engine-spec.ts';
import { Errno } from '../../src/native/errno.ts';
import { IoEngine, type IoOwner } from '../../src/native/io-engine.ts';
import { RegionMemory } from '../../src/native/memory.ts';
import type { Segments } from '../../src/native/segments.ts';
import { CAN_HANG, hangingFile } from '../support/hanging-file.ts';
import { MIB, mapMemory, PAGE, pattern, temporaryFolder, until } from './support.ts';

const GUEST = 4 * MIB;
const WHOLE: readonly number[] = [0, MIB];
/** In one process, see native/src/mapped_file.cc. */
const MAX_AREAS = 64;
const PATIENCE = 60_000;

/** Bytes of this process's mappings of the file: of addresses, and of what can be touched without a fault. */
function mapped(path: string): { size: number; resident: number } {
  const sum = { size: 0, resident: 0 };
  let ours = false;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    if (/^[0-9a-f]+-/.test(line)) ours = line.endsWith(` ${path}`) || line.endsWith(` ${path} (deleted)`);
    const [, name, kib] = /^(\w+): +(\d+) kB$/.exec(line) ?? [];
    if (ours && name === 'Size') sum.size += Number(kib) * 1024;
    if (ours && name === 'Rss') sum.resident += Number(kib) * 1024;
  }
  return sum;
}

function setUp(t: ExecutionContext, { parent, length = 2 * MIB }: { parent?: string; length?: number } = {}) {
  const engine = new IoEngine();
  const memory = new RegionMemory();
  const guest = memory.mapAnonymous(GUEST);
  const bytes = memory.bytes(guest, 0, GUEST);
  const path = join(temporaryFolder(t, parent), 'file');
  const content = pattern(length);
  writeFileSync(path, content);
  const fd = openSync(path, 'r+');
  engine.mapReads(fd);
  t.teardown(async () => {
    await engine.drain();
    addon.close(fd);
    engine.close();
  });
  const run = (start: (owner: IoOwner) => void) =>
    new Promise<number>((ioCompleted) => {
      start({ ioCompleted });
      engine.run();
    });
  const read = (offset: number, length: number, list: Segments = segment(guest.id, length), file = fd) =>
    run((owner) => engine.read(file, offset, length, list, 0, IoFlag.INLINE, owner));
  /** Reads until that is done by copying from the mapping. */
  const warmUp = async () => {
    for (const end = Date.now() + PATIENCE; mapped(path).resident === 0; ) {
      if (Date.now() > end) throw new Error('it is not mapped');
      for (let i = 0; i < 16; i++) await read(0, MIB);
    }
  };
  return { engine, guest, bytes, path, content, fd, run, read, warmUp };
}

function segment(region: number, length: number): Segments {
  return { triples: Float64Array.of(region, 0, length), count: 1 };
}

for (const parent of ['/tmp', '/dev/shm']) {
  test.serial(`${parent}: what is read often is mapped, and a close unmaps it`, async (t) => {
    const { engine, path, content, bytes, read, warmUp } = setUp(t, { parent });
    await warmUp();
    for (const [offset, length] of [WHOLE, [12345, 1], [PAGE - 1, 2], [777, 200_000], [2 * MIB - 1, 1]]) {
      bytes.fill(0);
      t.is(await read(offset, length), length);
      t.deepEqual(bytes.subarray(0, length), content.subarray(offset, offset + length));
    }
    const other = openSync(path, 'r+');
    engine.mapReads(other);
    for (let i = 0; i < 100; i++) t.is(await read(0, PAGE, undefined, other), PAGE);
    const both = mapped(path).size;
    addon.close(other);
    await until(() => mapped(path).size < both);
  });
}

test.serial('what is written, by us or by others, punched or cut, is seen by the next read', async (t) => {
  const { engine, guest, bytes, path, content, fd, run, read, warmUp } = setUp(t);
  await warmUp();
  const zeroes = new Uint8Array(PAGE);
  bytes.fill(0x11, 0, PAGE);
  const list = segment(guest.id, PAGE);
  t.is(await run((owner) => engine.write(fd, PAGE, PAGE, list, 0, IoFlag.INLINE, owner)), PAGE);
  bytes.fill(0, 0, PAGE);
  t.is(await read(PAGE, PAGE), PAGE);
  t.deepEqual(bytes.subarray(0, PAGE), new Uint8Array(PAGE).fill(0x11));

  const other = openSync(path, 'r+');
  t.teardown(() => addon.close(other));
  writeSync(other, Buffer.alloc(PAGE, 0x22), 0, PAGE, 2 * PAGE);
  await read(2 * PAGE, PAGE);
  t.deepEqual(bytes.subarray(0, PAGE), new Uint8Array(PAGE).fill(0x22));

  t.is(await run((owner) => engine.punchHole(fd, 3 * PAGE, PAGE, owner)), 0);
  t.is(await read(3 * PAGE, PAGE), PAGE);
  t.deepEqual(bytes.subarray(0, PAGE), zeroes);
  t.is(await run((owner) => engine.zeroRange(fd, 4 * PAGE, PAGE, owner)), 0);
  t.is(await read(4 * PAGE, PAGE), PAGE);
  t.deepEqual(bytes.subarray(0, PAGE), zeroes);

  ftruncateSync(other, MIB);
  ftruncateSync(other, 2 * MIB);
  t.is(await read(MIB, PAGE), PAGE);
  t.deepEqual(bytes.subarray(0, PAGE), zeroes);
  t.is(await read(5 * PAGE, PAGE), PAGE);
  t.deepEqual(bytes.subarray(0, PAGE), content.subarray(5 * PAGE, 6 * PAGE));
});

test.serial('a file that was cut is short at once, inside a page too', async (t) => {
  const { path, bytes, content, read, warmUp } = setUp(t);
  await warmUp();
  for (const size of [MIB - 1, MIB - PAGE + 1, MIB / 2, 5]) {
    truncateSync(path, size);
    t.is(await read(0, MIB), size);
    t.deepEqual(bytes.subarray(0, size), content.subarray(0, size));
    t.is(await read(size, PAGE), 0);
    t.is(await read(size - 1, 2), 1);
  }
});

test.serial('a page that was written back and forgotten is read again', async (t) => {
  const { path, content, bytes, read, warmUp } = setUp(t);
  await warmUp();
  spawnSync('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' });
  t.is(await read(0, MIB), MIB);
  t.deepEqual(bytes.subarray(0, MIB), content.subarray(0, MIB));
});

test.serial('another process that cuts the file under load ends nothing', async (t) => {
  const { path, content, bytes, read, warmUp } = setUp(t);
  await warmUp();
  // Cuts it to half and makes it whole again with zeroes, as fast as it can, for three seconds.
  const script = `
    const { ftruncateSync, openSync } = require('node:fs');
    const fd = openSync(${JSON.stringify(path)}, 'r+');
    for (const end = Date.now() + 3000; Date.now() < end; ) {
      ftruncateSync(fd, ${MIB / 2 + 100});
      ftruncateSync(fd, ${2 * MIB});
    }`;
  const cutter = spawn(process.execPath, ['-e', script], { stdio: 'inherit' });
  const ended = once(cutter, 'exit');
  let reads = 0;
  for (; cutter.exitCode === null; reads++) {
    const result = await read(0, MIB);
    if (result !== MIB && result < MIB / 2 + 100) t.fail(`${result} bytes`);
    const rest = bytes.subarray(0, result);
    const kept = MIB / 2 + 100;
    if (Buffer.compare(rest.subarray(0, kept), content.subarray(0, kept)) !== 0)
      t.fail('what was kept differs');
    if (reads % 64 === 0) await delay(0);
  }
  t.deepEqual(await ended, [0, null]);
  t.true(reads > 100);
  t.is(await read(0, MIB), MIB);
});

test.serial('memory that its guest took away is an error of the read', async (t) => {
  const { read, warmUp } = setUp(t);
  await warmUp();
  const fd = addon.memfd('guest', MIB);
  const region = addon.mapRegion(fd, 0, MIB, false);
  t.teardown(() => addon.unmapRegion(region));
  ftruncateSync(fd, 0);
  addon.close(fd);
  t.is(await read(0, PAGE, segment(region, PAGE)), Errno.EFAULT);
  // The disk goes on.
  t.is(await read(0, PAGE, segment(mapMemory(t, PAGE).id, PAGE)), PAGE);
});

test.serial('a file of somebody else, of which mincore does not tell the truth, is not mapped', async (t) => {
  const { engine, path, read } = setUp(t);
  const privileged = process.getuid!() === 0;
  if (privileged) chownSync(path, 65534, 65534);
  const other = privileged ? path : '/etc/passwd';
  const fd = openSync(other, 'r');
  t.teardown(() => addon.close(fd));
  engine.mapReads(fd);
  for (let i = 0; i < 100; i++) t.is(await read(0, 512, undefined, fd), 512);
  t.is(mapped(other).size, 0);
});

test.serial('files that are read now take the place of those that are not', async (t) => {
  const { engine, read } = setUp(t);
  const folder = temporaryFolder(t, '/dev/shm');
  const files = Array.from({ length: MAX_AREAS + 4 }, (_, i) => {
    const path = join(folder, `${i}`);
    writeFileSync(path, Buffer.alloc(4 * PAGE, i + 1));
    const fd = openSync(path, 'r+');
    t.teardown(() => addon.close(fd));
    engine.mapReads(fd);
    return { path, fd };
  });
  const readOften = async (fd: number) => {
    for (let i = 0; i < 100; i++) t.is(await read(0, 4 * PAGE, undefined, fd), 4 * PAGE);
  };
  for (const { fd } of files) await readOften(fd);
  const isMapped = ({ path }: { path: string }) => mapped(path).size > 0;
  t.true(files.filter(isMapped).length <= MAX_AREAS);
  const last = files.at(-1)!;
  const end = Date.now() + PATIENCE;
  while (!isMapped(last) && Date.now() < end) {
    await readOften(last.fd);
    await delay(10);
  }
  t.true(isMapped(last));
  t.true(files.filter(isMapped).length <= MAX_AREAS);
});

if (CAN_HANG) {
  test.serial('what only a worker may ask for is not mapped', async (t) => {
    const { engine, guest, run } = setUp(t);
    const path = join(temporaryFolder(t), 'slow');
    const file = await hangingFile(path);
    t.teardown(() => file.release());
    const list = segment(guest.id, PAGE);
    for (let i = 0; i < 100; i++)
      await run((owner) => engine.read(file.fd, 0, PAGE, list, 0, IoFlag.WORKER, owner));
    t.is(mapped(path).size, 0);
  });
}
