import { spawnSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { addon } from '../../src/native/addon.ts';
import { Detached, DetachedCalls } from '../../src/native/detached.ts';

const { EAGAIN, EBADF, ENXIO } = constants.errno;
const PROGRAM = new URL('./at-thread-limit.js', import.meta.url).pathname;

test('calls on a file give their results in order, and errors as negative numbers', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = join(folder.path, 'file');
  writeFileSync(path, Buffer.alloc(4096, 1));
  const calls = new DetachedCalls(openSync(path, 'r+'));
  const results = await Promise.all([
    calls.run(Detached.SIZE),
    calls.run(Detached.GROW, 1 << 20),
    calls.run(Detached.SIZE),
    calls.run(Detached.FIND_DATA, 0),
    calls.run(Detached.FIND_DATA, 1 << 20),
    calls.run(Detached.FIND_HOLE, 0),
    calls.run(Detached.SYNC),
    calls.run(Detached.CLOSE),
  ]);
  t.deepEqual(results, [4096, 0, 1 << 20, 0, -ENXIO, 4096, 0, 0]);
});

test('a descriptor that is none is refused, and so is a call that there is not', async (t) => {
  t.is(await new DetachedCalls(-1).run(Detached.SYNC), -EBADF);
  const fd = openSync('/dev/null', 'r');
  t.throws(() => void addon.detached(99, fd, 0), { instanceOf: RangeError });
  t.throws(() => void addon.detached(Detached.GROW, fd, -1), { instanceOf: RangeError });
  closeSync(fd);
});

test('a file is closed after a call that was refused', async (t) => {
  const calls = new DetachedCalls(openSync('/dev/null', 'r'));
  await t.throwsAsync(calls.run(Detached.GROW, -1), { instanceOf: RangeError });
  t.is(await calls.run(Detached.CLOSE), 0);
});

test('where there is no thread for it a file is closed all the same', (t) => {
  const { stdout, stderr } = spawnSync(process.execPath, [PROGRAM], { encoding: 'utf8' });
  t.deepEqual(JSON.parse(stdout), { limited: 0, size: -EAGAIN, close: 0, closed: true }, stderr);
});
