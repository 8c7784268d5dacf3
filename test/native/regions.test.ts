import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { Errno } from '../../src/native/errno.ts';
import { GIB, mapMemory, PAGE, temporaryFolder } from './support.ts';

const FAULTS = new Uint32Array(addon.faultCounter);

test('a region shows its file, both ways', (t) => {
  const fd = addon.memfd('both', 2 * PAGE);
  const region = addon.mapRegion(fd, PAGE, PAGE, false);
  const bytes = new Uint8Array(addon.regionWindows(region)[0]);
  t.is(bytes.length, PAGE);
  writeSync(fd, 'written', PAGE);
  t.is(Buffer.from(bytes.subarray(0, 7)).toString(), 'written');
  addon.close(fd);
  bytes[0] = 0x57;
  t.is(addon.unmapRegion(region), 0);
});

test('an offset that is no multiple of a page is mapped exactly', (t) => {
  const fd = addon.memfd('odd', 3 * PAGE);
  writeSync(fd, 'exact', PAGE + 100);
  const region = addon.mapRegion(fd, PAGE + 100, 5, false);
  t.is(Buffer.from(addon.regionWindows(region)[0]).toString(), 'exact');
  t.is(addon.unmapRegion(region), 0);
  addon.close(fd);
});

test('anonymous memory starts as zeroes, with and without huge pages', (t) => {
  for (const hugepages of [false, true]) {
    const region = addon.mapAnonymous(5 * 1024 * 1024 + 1, hugepages);
    t.true(region >= 0);
    const bytes = new Uint8Array(addon.regionWindows(region)[0]);
    t.is(bytes.length, 5 * 1024 * 1024 + 1);
    t.true(bytes.every((byte) => byte === 0));
    bytes.fill(1);
    t.is(addon.unmapRegion(region), 0);
  }
});

for (const { gib, windows } of [
  { gib: 1, windows: [1] },
  { gib: 2, windows: [2] },
  { gib: 2.5, windows: [2, 1.5] },
  { gib: 3, windows: [2, 2] },
  { gib: 5.25, windows: [2, 2, 2, 2, 1.25] },
]) {
  test(`${gib} GiB come as windows of ${windows.join(', ')} GiB that start every GiB`, (t) => {
    const fd = addon.memfd('sparse', gib * GIB);
    const region = addon.mapRegion(fd, 0, gib * GIB, false);
    addon.close(fd);
    t.is(addon.regionWindow(region, windows.length), undefined);
    t.is(addon.regionWindow(region, -1), undefined);
    const last = addon.regionWindow(region, windows.length - 1);
    t.is(addon.regionWindows(region).at(-1), last);
    const views = addon.regionWindows(region).map((window) => new Uint8Array(window));
    t.deepEqual(
      views.map((view) => view.length / GIB),
      windows,
    );
    // The last byte of each window is one byte of the region, and so is in the next window, too.
    views.forEach((view, index) => {
      view[view.length - 1] = index + 1;
      const next = views[index + 1];
      if (next !== undefined) t.is(next[view.length - 1 - GIB], index + 1);
    });
    t.is(addon.unmapRegion(region), 0);
  });
}

test('windows are made once', (t) => {
  const region = addon.mapAnonymous(PAGE, false);
  t.is(addon.regionWindows(region)[0], addon.regionWindows(region)[0]);
  t.is(addon.unmapRegion(region), 0);
});

test('after unmapping, views hold zeroes of their own and the id names nothing', (t) => {
  const fd = addon.memfd('guest', PAGE);
  const region = addon.mapRegion(fd, 0, PAGE, false);
  const bytes = new Uint8Array(addon.regionWindows(region)[0]);
  bytes[5] = 1;
  t.is(addon.unmapRegion(region), 0);
  t.is(bytes.length, PAGE, 'not detached: V8 would look for that at each access ever after');
  t.true(bytes.every((byte) => byte === 0));
  bytes[5] = 2;
  const later = addon.mapRegion(fd, 0, PAGE, false);
  t.is(new Uint8Array(addon.regionWindows(later)[0])[5], 1);
  t.is(addon.unmapRegion(later), 0);
  addon.close(fd);
  t.deepEqual(addon.regionWindows(region), []);
  t.is(addon.unmapRegion(region), Errno.EINVAL);
  t.false(addon.regionBroken(region));
});

test.serial('the addresses of a region are free again when its views were collected', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const before = virtualMemory();
  // In a function of its own, whose frame holds no view later.
  (() => {
    const region = addon.mapAnonymous(4 * GIB, false);
    addon.regionWindows(region);
    addon.unmapRegion(region);
  })();
  t.true(virtualMemory() > before + 3 * GIB);
  while (virtualMemory() > before + GIB) {
    collect();
    await setImmediate();
  }
  t.pass();
});

/** Bytes of address space of this process. */
function virtualMemory(): number {
  const [, kibibytes] = /^VmSize:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
  return Number(kibibytes) * 1024;
}

test('an id is not reused at once', (t) => {
  const first = addon.mapAnonymous(PAGE, false);
  addon.unmapRegion(first);
  const second = addon.mapAnonymous(PAGE, false);
  t.not(second, first);
  addon.unmapRegion(second);
});

test('what cannot be mapped is an errno', (t) => {
  const fd = addon.memfd('short', PAGE);
  const folder = openSync('/', 'r');
  const device = openSync('/dev/zero', 'r+');
  const readOnly = openSync('/proc/self/exe', 'r');
  const rows: [fd: number, offset: number, length: number, expected: number][] = [
    [fd, 0, PAGE + 1, Errno.EINVAL],
    [fd, 1, PAGE, Errno.EINVAL],
    [fd, PAGE, 1, Errno.EINVAL],
    [fd, 0, 0, Errno.EINVAL],
    [fd, -1, 1, Errno.EINVAL],
    [fd, 0.5, 1, Errno.EINVAL],
    [fd, 0, Number.NaN, Errno.EINVAL],
    [fd, 2 ** 53, 1, Errno.EINVAL],
    [fd, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, Errno.EINVAL],
    [folder, 0, 1, Errno.ENODEV],
    [device, 0, 1, Errno.ENODEV],
    [readOnly, 0, 1, Errno.EACCES],
    [1_000_000, 0, 1, Errno.EBADF],
    [-1, 0, 1, Errno.EBADF],
    [-2, 0, 1, Errno.EBADF],
    [Number.NaN, 0, 1, Errno.EBADF],
  ];
  for (const [descriptor, offset, length, expected] of rows) {
    t.is(addon.mapRegion(descriptor, offset, length, false), expected, `${descriptor} ${offset} ${length}`);
  }
  t.is(addon.mapAnonymous(2 ** 52, false), Errno.ENOMEM);
  for (const length of [0, -1, 0.5, 2 ** 53, Number.NaN]) {
    t.is(addon.mapAnonymous(length, false), Errno.EINVAL);
  }
  for (const id of [-1, 0.5, 1_000_000, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.is(addon.unmapRegion(id), Errno.EINVAL);
    t.deepEqual(addon.regionWindows(id), []);
    t.false(addon.regionBroken(id));
  }
  addon.close(fd);
  for (const each of [folder, device, readOnly]) closeSync(each);
});

test('a truncated file breaks its region, and nothing else', (t) => {
  const path = join(temporaryFolder(t, '/dev/shm'), 'memory');
  const fd = openSync(path, 'w+');
  t.teardown(() => closeSync(fd));
  ftruncateSync(fd, 16 * PAGE);
  const region = addon.mapRegion(fd, 0, 16 * PAGE, false);
  const other = mapMemory(t, PAGE);
  const bytes = new Uint8Array(addon.regionWindows(region)[0]);
  bytes.fill(7);
  other.bytes.fill(9);
  const before = FAULTS[0];
  ftruncateSync(fd, PAGE);
  t.is(bytes[0], 7);
  t.false(addon.regionBroken(region));

  t.is(bytes[PAGE], 0);
  t.is(FAULTS[0], before + 1);
  t.true(addon.regionBroken(region));
  // All of it was replaced, so there is one fault and not one for each page.
  t.is(bytes[0], 0);
  bytes.fill(1);
  t.is(FAULTS[0], before + 1);
  t.is(addon.regionBroken(other.id), false);
  t.is(other.bytes[0], 9);
  t.is(addon.unmapRegion(region), 0);
});

test('a view of every kind survives the fault', (t) => {
  const path = join(temporaryFolder(t, '/dev/shm'), 'memory');
  for (const access of [
    (buffer: ArrayBuffer) => new DataView(buffer).getUint32(PAGE, true),
    (buffer: ArrayBuffer) => new Uint16Array(buffer)[PAGE / 2],
    (buffer: ArrayBuffer) => Atomics.load(new Uint32Array(buffer), PAGE / 4),
    (buffer: ArrayBuffer) => Number(Buffer.from(buffer).readBigUInt64LE(PAGE)),
    (buffer: ArrayBuffer) => new Uint8Array(buffer).fill(0).length - 2 * PAGE,
    (buffer: ArrayBuffer) => new Uint8Array(buffer).slice(PAGE)[0],
  ]) {
    const fd = openSync(path, 'w+');
    ftruncateSync(fd, 2 * PAGE);
    const region = addon.mapRegion(fd, 0, 2 * PAGE, false);
    const [buffer] = addon.regionWindows(region);
    ftruncateSync(fd, 0);
    t.is(access(buffer), 0);
    t.true(addon.regionBroken(region));
    t.is(addon.unmapRegion(region), 0);
    closeSync(fd);
  }
});

test('a broken region can be mapped again when its file is whole', (t) => {
  const path = join(temporaryFolder(t, '/dev/shm'), 'memory');
  const fd = openSync(path, 'w+');
  t.teardown(() => closeSync(fd));
  ftruncateSync(fd, PAGE);
  const broken = addon.mapRegion(fd, 0, PAGE, false);
  ftruncateSync(fd, 0);
  t.is(new Uint8Array(addon.regionWindows(broken)[0])[0], 0);
  ftruncateSync(fd, PAGE);
  writeSync(fd, 'whole', 0);
  const again = addon.mapRegion(fd, 0, PAGE, false);
  t.is(Buffer.from(addon.regionWindows(again)[0], 0, 5).toString(), 'whole');
  t.false(addon.regionBroken(again));
  addon.unmapRegion(broken);
  addon.unmapRegion(again);
});

test('a SIGBUS that is none of ours ends the process as ever', (t) => {
  const script = `
    const { addon } = await import(${JSON.stringify(new URL('../../src/native/addon.js', import.meta.url).href)});
    addon.mapRegion(addon.memfd('x', 4096), 0, 4096, false);
    process.kill(process.pid, 'SIGBUS');
    setTimeout(() => {}, 10000);`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  t.is(child.signal, 'SIGBUS', child.stderr);
});

test('a thousand regions come and go', (t) => {
  const ids = Array.from({ length: 1000 }, () => addon.mapAnonymous(PAGE, false));
  t.is(new Set(ids).size, 1000);
  for (const id of ids) new Uint8Array(addon.regionWindows(id)[0])[0] = 1;
  for (const id of ids) t.is(addon.unmapRegion(id), 0);
});
