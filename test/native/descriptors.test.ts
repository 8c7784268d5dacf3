import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { Errno } from '../../src/native/errno.ts';
import { fillEventfd, makeBlocking } from '../support/eventfd.ts';
import { KIB, MIB, openFile, openPipe, PAGE, PROGRAMS, temporaryFolder } from './support.ts';

function fdInfo(fd: number): string {
  return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
}

function flagsOf(fd: number): number {
  return Number.parseInt(/^flags:\s+(\d+)/m.exec(fdInfo(fd))![1], 8);
}

test('an eventfd counts, empties, and is not inherited', (t) => {
  const fd = addon.eventfd();
  t.is(addon.drain(fd), 0);
  t.is(addon.signal(fd), 0);
  t.is(addon.signal(fd), 0);
  t.regex(fdInfo(fd), /eventfd-count:\s+2\b/);
  t.is(addon.drain(fd), 1);
  t.is(addon.drain(fd), 0);
  t.truthy(flagsOf(fd) & 0o2000000, 'O_CLOEXEC');
  t.truthy(flagsOf(fd) & constants.O_NONBLOCK);
  t.is(addon.close(fd), 0);
});

test('a full eventfd counts as signalled, and does not block', (t) => {
  const fd = addon.eventfd();
  fillEventfd(fd);
  t.is(addon.signal(fd), 0);
  t.is(addon.drain(fd), 1);
  addon.close(fd);
});

test('a signal to a full eventfd whose owner made it blocking is given up, again and again', (t) => {
  const fd = addon.eventfd();
  makeBlocking(fd);
  t.falsy(flagsOf(fd) & constants.O_NONBLOCK);
  for (let i = 0; i < 3; i++) {
    fillEventfd(fd);
    const start = performance.now();
    t.is(addon.signal(fd), Errno.EBUSY);
    t.true(performance.now() - start < 1000);
    t.is(addon.drain(fd), 1);
    t.is(addon.signal(fd), 0);
    t.is(addon.drain(fd), 1);
  }
  addon.close(fd);
});

test('only an eventfd is one', (t) => {
  const fd = addon.eventfd();
  t.true(addon.isEventfd(fd));
  addon.close(fd);
  t.false(addon.isEventfd(fd));
  t.false(addon.isEventfd(openPipe(t)));
  t.false(addon.isEventfd(-1));
});

test('draining never blocks, though the descriptor might', (t) => {
  const blocking = openPipe(t);
  t.falsy(flagsOf(blocking) & constants.O_NONBLOCK);
  t.is(addon.drain(blocking), 0);
  t.is(addon.setNonblocking(blocking), 0);
  t.truthy(flagsOf(blocking) & constants.O_NONBLOCK);
});

test('what is no descriptor is refused, and never closes another', (t) => {
  const values = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 32, 1_000_000];
  for (const value of values) {
    t.is(addon.close(value), Errno.EBADF, String(value));
    t.is(addon.signal(value), Errno.EBADF);
    t.is(addon.drain(value), Errno.EBADF);
    t.is(addon.setNonblocking(value), Errno.EBADF);
    t.is(addon.blockDevice(value), Errno.EBADF);
    t.is(addon.directAlignment(value), Errno.EBADF);
    t.is(addon.lockRange(value, 0, 0, 1), Errno.EBADF);
    t.is(addon.seekExtent(value, 0, 0), Errno.EBADF);
    t.is(addon.unixAccept(value), Errno.EBADF);
    t.is(addon.peerCredentials(value), Errno.EBADF);
    t.is(
      addon.poll(value, 1, () => {}),
      Errno.EBADF,
    );
    t.is(addon.punchHole(value, 0, 1), Errno.EBADF);
  }
  t.true(fstatSync(0) !== undefined);
});

test('an argument of the wrong type is a TypeError', (t) => {
  const wrong = 'one' as unknown as number;
  t.throws(() => addon.close(wrong), { instanceOf: TypeError });
  t.throws(() => addon.mapRegion(wrong, 0, 1, false), { instanceOf: TypeError });
  t.throws(() => addon.poll(0, 1, 5 as unknown as () => void), { instanceOf: TypeError });
  t.throws(() => addon.unixListen(5 as unknown as string, 1));
  t.throws(() => addon.regionWindows(undefined as unknown as number));
  t.throws(() => addon.createEngine(undefined as unknown as Parameters<typeof addon.createEngine>[0]));
});

test('a memfd has its name and length', (t) => {
  const fd = addon.memfd('guest memory', 3 * PAGE);
  t.is(fstatSync(fd).size, 3 * PAGE);
  t.regex(readlinkSync(`/proc/self/fd/${fd}`), /memfd:guest memory/);
  ftruncateSync(fd, PAGE);
  addon.close(fd);
  t.is(addon.memfd('x', -1), Errno.EINVAL);
  t.is(addon.memfd('x'.repeat(300), 1), Errno.EINVAL);
});

test('nobody can resize a sealed memfd', (t) => {
  const fd = addon.memfd('sealed', PAGE, true);
  t.throws(() => ftruncateSync(fd, 0), { code: 'EPERM' });
  t.throws(() => ftruncateSync(fd, 2 * PAGE), { code: 'EPERM' });
  t.is(writeSync(fd, 'writable'), 8);
  addon.close(fd);
});

test('extents tell data from holes', (t) => {
  const fd = openFile(t, join(temporaryFolder(t), 'sparse'));
  ftruncateSync(fd, 4 * MIB);
  writeSync(fd, new Uint8Array(PAGE).fill(1), 0, PAGE, MIB);
  t.is(addon.seekExtent(fd, 0, 0), MIB);
  t.is(addon.seekExtent(fd, 0, 1), 0);
  t.is(addon.seekExtent(fd, MIB, 1), MIB + PAGE);
  t.is(addon.seekExtent(fd, MIB + PAGE, 0), Errno.ENXIO);
  t.is(addon.seekExtent(fd, 8 * MIB, 0), Errno.ENXIO);
  t.is(addon.seekExtent(fd, 0, 2), Errno.EINVAL);
  t.is(addon.seekExtent(fd, -1, 0), Errno.EINVAL);
  t.is(addon.punchHole(fd, MIB, PAGE), 0);
  t.is(addon.seekExtent(fd, 0, 0), Errno.ENXIO);
});

test('a regular file is no block device, and has an alignment', (t) => {
  const fd = openFile(t, join(temporaryFolder(t), 'file'));
  t.is(addon.blockDevice(fd), Errno.ENOTTY);
  const alignment = addon.directAlignment(fd);
  if (typeof alignment === 'number') t.is(alignment, Errno.EOPNOTSUPP);
  else {
    t.true(alignment.offset >= 512 && alignment.memory > 0);
  }
});

test('a block device tells its geometry', (t) => {
  const path = join(temporaryFolder(t), 'backing');
  ftruncateSync(openFile(t, path), 8 * MIB);
  const loop = spawnSync(PROGRAMS.losetup, ['--find', '--show', '--sector-size', '4096', path], {
    encoding: 'utf8',
  });
  if (loop.status !== 0) {
    t.log('no loop devices here', loop.stderr);
    t.pass();
    return;
  }
  const device = loop.stdout.trim();
  t.teardown(() => spawnSync(PROGRAMS.losetup, ['--detach', device]));
  const fd = openSync(device, constants.O_RDWR);
  t.teardown(() => closeSync(fd));
  const { discardGranularity, ...geometry } = addon.blockDevice(fd) as Exclude<
    ReturnType<typeof addon.blockDevice>,
    number
  >;
  t.true(discardGranularity > 0 && discardGranularity <= 64 * KIB, String(discardGranularity));
  t.deepEqual(geometry, {
    size: 8 * MIB,
    logicalBlockSize: 4096,
    physicalBlockSize: 4096,
    rotational: geometry.rotational,
    readOnly: false,
  });
  t.is((addon.directAlignment(fd) as { offset: number }).offset, 4096);
});

test('locks of two open files of one process conflict', (t) => {
  const path = join(temporaryFolder(t), 'locked');
  const one = openFile(t, path);
  const two = openFile(t, path);
  t.is(addon.lockRange(one, 0, 100, 1), 0);
  t.is(addon.testLock(two, 0, 100, 1), 0, 'two readers share');
  t.is(addon.testLock(two, 1, 100, 1), 1);
  t.is(addon.testLock(one, 1, 100, 1), 0, 'its own is not in its way');
  t.is(addon.lockRange(two, 1, 99, 3), Errno.EAGAIN);
  t.is(addon.lockRange(one, 2, 100, 1), 0);
  t.is(addon.lockRange(two, 1, 99, 3), 0);
  t.is(addon.testLock(one, 0, 101, 1), 1);
  t.is(addon.lockRange(one, 3, 0, 1), Errno.EINVAL);
  t.is(addon.lockRange(one, 0, -1, 1), Errno.EINVAL);
});

test('the supervisor is told by datagram', async (t) => {
  // Node.js cannot receive one, so another program does.
  const path = join(temporaryFolder(t), 'notify');
  t.is(addon.notifySupervisor(path, 'READY=1'), Errno.ENOENT);
  t.is(addon.notifySupervisor('relative', 'READY=1'), Errno.EINVAL);
  t.is(addon.notifySupervisor('', 'READY=1'), Errno.EINVAL);
  t.is(addon.notifySupervisor(`/${'x'.repeat(200)}`, 'READY=1'), Errno.ENAMETOOLONG);
  const script = `
import socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
subprocess.run([sys.argv[2], '--input-type=module', '-e',
  "const { notifySupervisor } = await import('" + sys.argv[3] + "'); console.log(notifySupervisor('READY=1\\\\nSTATUS=ok'))"],
  env={**__import__('os').environ, 'NOTIFY_SOCKET': sys.argv[1].replace('\\0', '@')}, check=True)
print(s.recv(100).decode())`;
  const wrapper = new URL('../../src/native/supervisor.js', import.meta.url).href;
  for (const address of [path, `@lunport-test-${process.pid}`]) {
    // An argument cannot hold the null byte that starts an abstract name.
    const source = address.startsWith('@')
      ? script.replace('sys.argv[1])', "sys.argv[1].replace('@', '\\0'))")
      : script;
    const run = spawnSync('python3', ['-c', source, address, process.execPath, wrapper], {
      encoding: 'utf8',
    });
    t.is(run.stdout, 'true\nREADY=1\nSTATUS=ok\n', run.stderr);
  }
});
