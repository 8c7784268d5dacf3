import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { addon } from '../../src/native/addon.ts';
import { Errno, LunportError } from '../../src/native/errno.ts';
import { connectUnix, UnixListener, type UnixListenerOwner } from '../../src/native/unix-socket.ts';
import { temporaryFolder, until } from './support.ts';

const NO_FDS = new Int32Array(0);

function pair(t: ExecutionContext): [number, number] {
  const path = join(temporaryFolder(t), 'socket');
  const listener = addon.unixListen(path, 4);
  const client = addon.unixConnect(path);
  const server = addon.unixAccept(listener);
  addon.close(listener);
  open.add(client).add(server);
  t.teardown(() => {
    close(client);
    close(server);
  });
  return [client, server];
}

/** Closed twice, a number could mean another test's descriptor. */
const open = new Set<number>();

function close(fd: number): void {
  if (open.delete(fd)) addon.close(fd);
}

function receive(fd: number, capacity: number, length = 100) {
  const bytes = new Uint8Array(length);
  const fds = new Int32Array(capacity);
  const count = new Int32Array(1);
  const result = addon.receive(fd, bytes, 0, length, fds, count);
  return {
    result,
    fds: [...fds.subarray(0, count[0])],
    text: Buffer.from(bytes.subarray(0, Math.max(result, 0))).toString(),
  };
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

const collector = () => {
  const connections: number[] = [];
  const errors: Error[] = [];
  const owner: UnixListenerOwner = {
    connected: (fd) => connections.push(fd),
    acceptFailed: (error) => errors.push(error),
  };
  return { connections, errors, owner };
};

test('bytes go both ways, and the end is seen', (t) => {
  const [client, server] = pair(t);
  const bytes = new TextEncoder().encode('xxhello');
  t.is(addon.send(client, bytes, 2, 5, NO_FDS, 0), 5);
  t.is(receive(server, 0).text, 'hello');
  t.is(receive(server, 0).result, Errno.EAGAIN);
  const into = new Uint8Array(10);
  addon.send(server, bytes, 0, 7, NO_FDS, 0);
  t.is(addon.receive(client, into, 3, 4, NO_FDS, new Int32Array(1)), 4);
  t.is(Buffer.from(into.subarray(3, 7)).toString(), 'xxhe');
  t.is(into[7], 0);
  close(server);
  t.is(receive(client, 0).text, 'llo');
  t.is(receive(client, 0).result, 0);
  t.is(addon.send(client, bytes, 0, 1, NO_FDS, 0), Errno.EPIPE);
});

test('a range outside the bytes is refused', (t) => {
  const [client] = pair(t);
  const bytes = new Uint8Array(10);
  for (const [at, length] of [
    [0, 11],
    [10, 1],
    [11, 0],
    [-1, 1],
    [0.5, 1],
    [2 ** 53, 1],
    [Number.NaN, 1],
  ]) {
    t.is(addon.send(client, bytes, at, length, NO_FDS, 0), Errno.EINVAL);
    t.is(addon.receive(client, bytes, at, length, NO_FDS, new Int32Array(1)), Errno.EINVAL);
  }
  t.is(addon.send(client, bytes, 0, 1, NO_FDS, 1), Errno.EINVAL);
  t.is(addon.send(client, bytes, 0, 1, new Int32Array(300), 254), Errno.EINVAL);
  t.is(addon.receive(client, bytes, 0, 1, NO_FDS, NO_FDS), Errno.EINVAL);
  t.throws(() => addon.send(client, 'no bytes' as unknown as Uint8Array, 0, 1, NO_FDS, 0), {
    instanceOf: TypeError,
  });
});

test('descriptors arrive as others, closed on exec', (t) => {
  const [client, server] = pair(t);
  const sent = [addon.memfd('passed-0', 1), addon.memfd('passed-1', 1)];
  t.is(addon.send(client, new Uint8Array(1), 0, 1, Int32Array.from(sent), 2), 1);
  const { fds, result } = receive(server, 8);
  t.is(result, 1);
  t.is(fds.length, 2);
  fds.forEach((fd, index) => {
    t.false(sent.includes(fd));
    t.regex(readlinkSync(`/proc/self/fd/${fd}`), new RegExp(`passed-${index}`));
  });
  const [inherited] = fds;
  const child = spawnSync('ls', ['/proc/self/fd'], { encoding: 'utf8' });
  t.false(child.stdout.split('\n').includes(String(inherited)) && inherited > 4);
  for (const fd of [...sent, ...fds]) addon.close(fd);
});

test.serial('more descriptors than asked for are all closed', (t) => {
  const [client, server] = pair(t);
  const fd = addon.eventfd();
  const before = openDescriptors();
  for (const count of [3, 50, 253]) {
    t.is(addon.send(client, new Uint8Array(4), 0, 4, new Int32Array(253).fill(fd), count), 4);
    const { result, fds } = receive(server, 2);
    t.is(result, Errno.EMSGSIZE);
    t.deepEqual(fds, []);
    t.is(openDescriptors(), before);
  }
  addon.send(client, new Uint8Array(1), 0, 1, Int32Array.of(fd, fd), 2);
  const { result, fds } = receive(server, 2);
  t.is(result, 1);
  for (const each of [fd, ...fds]) addon.close(each);
});

test('out of descriptors is EMFILE, and what did arrive is closed', (t) => {
  const addonUrl = new URL('../../src/native/addon.js', import.meta.url).href;
  const path = join(temporaryFolder(t), 'socket');
  const script = `
    import { readdirSync } from 'node:fs';
    const { addon } = await import(${JSON.stringify(addonUrl)});
    const listener = addon.unixListen(${JSON.stringify(path)}, 1);
    const client = addon.unixConnect(${JSON.stringify(path)});
    const server = addon.unixAccept(listener);
    const fd = addon.eventfd();
    const count = () => readdirSync('/proc/self/fd').length;
    const before = count();
    addon.send(client, new Uint8Array(1), 0, 1, new Int32Array(200).fill(fd), 200);
    const fdCount = new Int32Array(1);
    const result = addon.receive(server, new Uint8Array(1), 0, 1, new Int32Array(253), fdCount);
    console.log(result, fdCount[0], count() - before);`;
  const child = spawnSync(
    'sh',
    ['-c', 'ulimit -n 100; exec "$0" --input-type=module -e "$1"', process.execPath, script],
    {
      encoding: 'utf8',
    },
  );
  t.is(child.stdout.trim(), `${Errno.EMFILE} 0 0`, child.stderr);
});

test('the socket is for its owner alone, whatever the umask', (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const fd = addon.unixListen(path, 1);
  t.is(statSync(path).mode & 0o777, 0o600);
  addon.close(fd);
});

test('the peer has credentials', (t) => {
  const [client, server] = pair(t);
  const expected = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() };
  t.deepEqual(addon.peerCredentials(server), expected);
  t.deepEqual(addon.peerCredentials(client), expected);
  const file = openSync('/dev/null', 'r');
  t.is(addon.peerCredentials(file), Errno.ENOTSOCK);
  closeSync(file);
});

test('paths that cannot be are refused', (t) => {
  const folder = temporaryFolder(t);
  for (const [path, expected] of [
    ['', Errno.EINVAL],
    ['a\0b', Errno.EINVAL],
    [join(folder, 'x'.repeat(108)), Errno.ENAMETOOLONG],
    [join(folder, 'missing', 'socket'), Errno.ENOENT],
  ] as const) {
    t.is(addon.unixListen(path, 1), expected);
    t.is(addon.unixConnect(path), expected);
  }
  t.is(addon.unixListen(join(folder, 'socket'), -1), Errno.EINVAL);
});

test('a listener accepts, and cleans up', async (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const { connections, owner } = collector();
  const listener = new UnixListener(path, owner);
  const clients = [connectUnix(path), connectUnix(path)];
  await until(() => connections.length === 2);
  listener.close();
  listener.close();
  t.false(existsSync(path));
  for (const fd of [...clients, ...connections]) addon.close(fd);
});

test('a socket whose owner was killed is taken over', (t) => {
  const path = join(temporaryFolder(t), 'socket');
  addon.close(addon.unixListen(path, 1));
  t.true(existsSync(path));
  t.is(addon.unixListen(path, 1), Errno.EADDRINUSE);
  const listener = new UnixListener(path, collector().owner);
  addon.close(connectUnix(path));
  listener.close();
});

test('a socket that is in use is not', (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const first = new UnixListener(path, collector().owner);
  const error = t.throws(() => new UnixListener(path, collector().owner), { instanceOf: LunportError });
  t.is(error.code, 'EADDRINUSE');
  t.is(error.object, path);
  t.truthy(error.hint);
  addon.close(connectUnix(path));
  first.close();
});

test('no file and no link is ever removed', (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, 'precious');
  t.throws(() => new UnixListener(file, collector().owner), { code: 'EADDRINUSE' });
  t.true(existsSync(file));
  const link = join(folder, 'link');
  symlinkSync(file, link);
  t.throws(() => new UnixListener(link, collector().owner), { code: 'EADDRINUSE' });
  t.true(existsSync(link));
});

test('a closing listener leaves its successor’s socket alone', (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const first = new UnixListener(path, collector().owner);
  spawnSync('rm', [path]);
  const second = new UnixListener(path, collector().owner);
  first.close();
  t.true(existsSync(path));
  addon.close(connectUnix(path));
  second.close();
  t.false(existsSync(path));
});

test('only a socket that listens on a path is adopted', (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const listener = addon.unixListen(path, 1);
  t.is(addon.adoptListener(listener), path);
  addon.close(listener);
  const [client, server] = pair(t);
  t.is(addon.adoptListener(client), Errno.EINVAL);
  t.is(addon.adoptListener(server), Errno.EINVAL);
  const tcp = addon.tcpListen('127.0.0.1', 0, 1);
  t.is(addon.adoptListener(tcp), Errno.EINVAL);
  addon.close(tcp);
  const event = addon.eventfd();
  t.is(addon.adoptListener(event), Errno.ENOTSOCK);
  addon.close(event);
  t.is(addon.adoptListener(event), Errno.EBADF);
});

test('a connection that was reset ends its poll with an errno', async (t) => {
  const [client, server] = pair(t);
  addon.send(client, new Uint8Array(5), 0, 5, NO_FDS, 0);
  const events = await new Promise<number>((resolve) => {
    const poll = addon.poll(client, 1, (happened) => {
      if (typeof poll !== 'number') poll.stop();
      resolve(happened);
    });
    close(server); // with bytes unread
  });
  t.true(events < 0 || (events & 1) === 1, String(events));
  const { result } = receive(client, 0);
  t.true(result === Errno.ECONNRESET || result === 0, String(result));
});
