import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { addon, type RawPoll } from '../../src/native/addon.ts';
import { Errno } from '../../src/native/errno.ts';
import { openFile, openPipe, someTurns, temporaryFolder, until } from './support.ts';

function poll(fd: number, events: number, callback: (events: number) => void): RawPoll {
  const handle = addon.poll(fd, events, callback);
  if (typeof handle === 'number') throw new Error(`poll: ${handle}`);
  return handle;
}

function pollEventfd(fd: number, callback: (events: number) => void): RawPoll {
  const handle = addon.pollEventfd(fd, callback);
  if (typeof handle === 'number') throw new Error(`pollEventfd: ${handle}`);
  return handle;
}

test('an eventfd wakes once for many signals, and is empty then', async (t) => {
  const fd = addon.eventfd();
  const calls: number[] = [];
  const handle = pollEventfd(fd, (events) => calls.push(events));
  addon.signal(fd);
  addon.signal(fd);
  await until(() => calls.length > 0);
  await someTurns();
  t.deepEqual(calls, [1]);
  t.is(addon.drain(fd), 0);
  addon.signal(fd);
  await until(() => calls.length > 1);
  t.deepEqual(calls, [1, 1]);
  handle.stop();
  addon.signal(fd);
  await someTurns();
  t.is(calls.length, 2);
  addon.close(fd);
});

test('a plain poll says what is possible, and its events can be changed', async (t) => {
  const fd = addon.eventfd();
  const calls: number[] = [];
  const handle = poll(fd, 1, (events) => {
    calls.push(events);
    if (events === 1) handle.events(2);
    else handle.events(0);
  });
  await someTurns();
  t.deepEqual(calls, []);
  addon.signal(fd);
  await until(() => calls.length > 1);
  await someTurns();
  t.deepEqual(calls, [1, 2]);
  t.throws(() => handle.events(4), { instanceOf: RangeError });
  t.throws(() => handle.events(-1), { instanceOf: RangeError });
  handle.stop();
  handle.stop();
  handle.events(1);
  handle.unref();
  await someTurns();
  t.is(calls.length, 2);
  addon.close(fd);
});

test('a poll may stop itself, and its descriptor be closed at once', async (t) => {
  for (let i = 0; i < 100; i++) {
    const fd = addon.eventfd();
    addon.signal(fd);
    await new Promise<void>((resolve) => {
      const handle = pollEventfd(fd, () => {
        handle.stop();
        addon.close(fd);
        resolve();
      });
    });
  }
  t.pass();
});

test('what cannot be polled is an errno', (t) => {
  const regular = openFile(t, join(temporaryFolder(t), 'file'));
  const fd = addon.eventfd();
  t.is(
    addon.poll(regular, 1, () => {}),
    Errno.EPERM,
  );
  t.is(
    addon.pollEventfd(regular, () => {}),
    Errno.EINVAL,
  );
  t.is(
    addon.pollEventfd(-1, () => {}),
    Errno.EINVAL,
  );
  const first = poll(fd, 1, () => {});
  t.is(
    addon.poll(fd, 1, () => {}),
    Errno.EEXIST,
  );
  first.stop();
  addon.close(fd);
});

test('a pipe is no eventfd: at its end it would wake the loop for ever', (t) => {
  const fd = openPipe(t);
  t.is(
    addon.pollEventfd(fd, () => {}),
    Errno.EINVAL,
  );
});

test.serial('promises run before the next event, and an exception is an uncaught one', (t) => {
  const addonUrl = new URL('../../src/native/addon.js', import.meta.url).href;
  const script = `
    const { addon } = await import(${JSON.stringify(addonUrl)});
    const order = [];
    const [one, two] = [addon.eventfd(), addon.eventfd()];
    let calls = 0;
    const poll = addon.pollEventfd(one, () => {
      if (++calls === 1) {
        order.push('first');
        Promise.resolve().then(() => order.push('microtask'));
        process.nextTick(() => order.push('tick'));
        addon.signal(one);
        return;
      }
      order.push('second');
      poll.stop();
      throw new Error('thrown');
    });
    process.once('uncaughtException', (error) => {
      order.push(error.message);
      console.log(order.join(' '));
    });
    addon.signal(one);`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  t.is(child.stdout.trim(), 'first tick microtask second thrown', child.stderr);
});

test.serial('an active poll keeps the process, an unref’d one does not', (t) => {
  const addonUrl = new URL('../../src/native/addon.js', import.meta.url).href;
  const script = (end: string) => `
    const { addon } = await import(${JSON.stringify(addonUrl)});
    const poll = addon.pollEventfd(addon.eventfd(), () => {});
    addon.createEngine({ depth: 8, maxVectors: 8, mode: 'auto', threads: 1, onReady: () => {} });
    ${end}
    setTimeout(() => process.exit(3), 700).unref();`;
  const run = (end: string) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script(end)], { encoding: 'utf8' }).status;
  t.is(run('poll.unref();'), 0);
  t.is(run('poll.stop();'), 0);
  t.is(run('setInterval(() => {}, 10);'), 3);
});

test('a forgotten poll lives on', async (t) => {
  const fd = addon.eventfd();
  let calls = 0;
  (() => pollEventfd(fd, () => calls++).unref())();
  for (let i = 0; i < 20; i++) {
    const garbage = Array.from({ length: 100_000 }, () => ({}));
    t.is(garbage.length, 100_000);
    await delay(1);
  }
  addon.signal(fd);
  await until(() => calls > 0);
  t.is(calls, 1);
});

test('a counter at its maximum wakes, too', async (t) => {
  // eventfd(2) reports an error then, at which libuv gives up. Only the kernel can count so far; a guest's kick
  // by KVM does.
  const fd = addon.eventfd();
  const most = new Uint8Array(8).fill(0xff);
  most[0] = 0xfe;
  writeSync(fd, most);
  let calls = 0;
  const handle = pollEventfd(fd, () => calls++);
  await until(() => calls === 1);
  addon.signal(fd);
  await until(() => calls === 2);
  t.pass();
  handle.stop();
  addon.close(fd);
});
