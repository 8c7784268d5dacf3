import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { addon } from '../../src/native/addon.ts';
import { crc32c, hasCrc32c } from '../../src/native/crc32c.ts';
import { Errno, LunportError } from '../../src/native/errno.ts';
import { ChunkList, StreamSocket, TcpListener } from '../../src/native/stream-socket.ts';

const QUIET = { readable: () => {}, writable: () => {} };

/** A connection over `host`: Node's end and ours. */
async function pair(t: ExecutionContext, host: string, owner = QUIET) {
  const fds: number[] = [];
  const listener = new TcpListener(host, 0, {
    connected: (fd) => fds.push(fd),
    acceptFailed: (error) => t.fail(String(error)),
  });
  const peer = connect(listener.address.port, host);
  await once(peer, 'connect');
  while (fds.length === 0) await delay(1);
  const socket = new StreamSocket(fds[0], owner);
  t.teardown(() => {
    socket.close();
    listener.close();
    peer.destroy();
  });
  return { listener, peer, socket };
}

function list(...chunks: [Uint8Array, number, number][]): ChunkList {
  const result = new ChunkList();
  for (const [bytes, at, length] of chunks) result.add(bytes, at, length);
  return result;
}

for (const host of ['127.0.0.1', '::1']) {
  test(`ranges of several buffers go out and come in with one call each, over ${host}`, async (t) => {
    const { listener, peer, socket } = await pair(t, host);
    t.is(listener.address.host, host);
    t.deepEqual(socket.localAddress, listener.address);
    t.is(
      socket.send(
        list([Buffer.from('..ab..'), 2, 2], [Buffer.from('cdef'), 0, 4], [new Uint8Array(1), 1, 0]),
      ),
      6,
    );
    const [data] = (await once(peer, 'data')) as [Buffer];
    t.is(data.toString(), 'abcdef');
    t.is(socket.receive(list([new Uint8Array(1), 0, 1])), Errno.EAGAIN);
    peer.write('0123456789');
    await delay(50);
    const first = Buffer.alloc(4, '.');
    const second = Buffer.alloc(20, '.');
    t.is(socket.receive(list([first, 1, 3], [second, 2, 18])), 10);
    t.is(first.toString() + second.toString('utf8', 0, 10), '.012..3456789.'.slice(0, 14));
  });
}

test('the owner hears of data, of room, and of the end', async (t) => {
  const heard: string[] = [];
  const owner = { readable: () => heard.push('readable'), writable: () => heard.push('writable') };
  const { peer, socket } = await pair(t, '127.0.0.1', {
    readable: () => void owner.readable(),
    writable: () => void owner.writable(),
  });
  socket.await(false, true);
  await delay(20);
  t.is(heard[0], 'writable');
  socket.await(true, false);
  heard.length = 0;
  await delay(20);
  t.deepEqual(heard, []);
  peer.end();
  await delay(20);
  t.is(heard[0], 'readable');
  t.is(socket.receive(list([new Uint8Array(1), 0, 1])), 0);
  socket.finish();
  await once(peer, 'close');
});

test('a range outside its buffer is refused before anything moves', async (t) => {
  const { socket } = await pair(t, '127.0.0.1');
  for (const range of [
    [0, 5],
    [4, 1],
    [-1, 1],
    [Number.NaN, 1],
    [0, Infinity],
  ] as const) {
    t.is(socket.send(list([new Uint8Array(4), ...range])), Errno.EINVAL);
    t.is(socket.receive(list([new Uint8Array(4), ...range])), Errno.EINVAL);
  }
  const chunks = [new Uint8Array(1)];
  t.is(addon.sendVector(0, chunks, new Float64Array(2), 2), Errno.EINVAL);
  t.throws(() => addon.sendVector(0, [new Uint16Array(1) as unknown as Uint8Array], new Float64Array(2), 1));
  t.throws(() => addon.sendVector(0, [], new Float64Array(2), 1));
});

test('an address that is none, or is in use, is an error with its name', async (t) => {
  const owner = { connected: () => {}, acceptFailed: () => {} };
  t.throws(() => new TcpListener('not an address', 0, owner), {
    instanceOf: LunportError,
    message: /not an address/,
  });
  const listener = new TcpListener('127.0.0.1', 0, owner);
  t.throws(() => new TcpListener('127.0.0.1', listener.address.port, owner), {
    instanceOf: LunportError,
    code: 'EADDRINUSE',
  });
  listener.close();
});

test('CRC-32C by instruction is that of the standard, in parts too', (t) => {
  if (!hasCrc32c) {
    t.pass();
    return;
  }
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => i);
  t.is(crc32c(bytes, 0, 32, 0), 0x46dd794e);
  t.is(crc32c(bytes, 5, 27, crc32c(bytes, 0, 5, 0)), 0x46dd794e);
});
