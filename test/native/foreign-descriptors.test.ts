import { openSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { Errno } from '../../src/native/errno.ts';
import { FaultyFile } from '../support/faulty-file.ts';
import { openPipe, temporaryFolder, until } from './support.ts';

/** Of native/src/foreign_descriptors.cc: threads that may hang. */
const THREADS = 32;

/** How many descriptors of this process lead to `path`. */
function openDescriptors(path: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  }).length;
}

test('what only the kernel is behind is closed at once', (t) => {
  for (const fd of [addon.eventfd(), addon.memfd('foreign', 4096)]) {
    t.is(addon.closeForeign(fd), 0);
    t.is(addon.setNonblocking(fd), Errno.EBADF);
  }
  t.is(addon.closeForeign(-1), Errno.EBADF);
});

test('any other file is closed soon', async (t) => {
  const path = join(temporaryFolder(t), 'file');
  t.is(addon.closeForeign(openSync(path, 'w')), 0);
  await until(() => openDescriptors(path) === 0);
});

test('files that hang keep nobody waiting but each other, and all are closed when they answer', async (t) => {
  const file = await FaultyFile.start({ size: 1 << 20 });
  try {
    const { path } = file;
    const fds = Array.from({ length: THREADS + 8 }, () => openSync(path, 'r+'));
    await file.freeze();
    for (const fd of fds) addon.closeForeign(fd);
    await until(() => openDescriptors(path) === 8);
    t.pass('the others have their threads');
    file.thaw();
    await until(() => openDescriptors(path) === 0);
  } finally {
    await file.close();
  }
});

test('a Unix stream socket is told from what else there is', (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const unix = addon.unixListen(path, 1);
  t.true(addon.isUnixStream(unix));
  addon.close(unix);
  const tcp = addon.tcpListen('127.0.0.1', 0, 1);
  for (const fd of [tcp, openPipe(t), -1]) t.false(addon.isUnixStream(fd));
  addon.close(tcp);
});
