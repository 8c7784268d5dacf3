/** Clients that lie, vanish or do not listen: they may break only their own connection, and take no memory along. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { BufferBudget } from '../../../src/fabrics/nbd/buffer-budget.ts';
import { Handshake } from '../../../src/fabrics/nbd/handshake.ts';
import { Command, MAX_PAYLOAD, Option, REQUEST_MAGIC } from '../../../src/fabrics/nbd/nbd-spec.ts';
import { NbdProtocolError } from '../../../src/fabrics/nbd/protocol-error.ts';
import { OperationKind } from '../../../src/scsi/backstore.ts';
import { NbdClient } from '../../support/nbd-client.ts';
import { openNbdServer, type TestNbdServer } from '../../support/nbd-server.ts';

async function serve(t: ExecutionContext, byteLength = 64 << 20): Promise<TestNbdServer> {
  const served = await openNbdServer({ byteLength });
  t.teardown(() => served.close());
  return served;
}

/** Another client's READ works. */
async function isAlive(served: TestNbdServer): Promise<boolean> {
  const client = await NbdClient.open(served.path);
  await client.go('simple');
  client.request({ type: Command.READ, length: 512 });
  const { error } = await client.simpleReply(512);
  client.close();
  return error === 0;
}

/** Buffers go back when the last request has ended. */
async function buffersReturned(served: TestNbdServer): Promise<boolean> {
  for (let i = 0; i < 100 && served.core.environment.memory.outstanding > 0; i++) await delay(10);
  return served.core.environment.memory.outstanding === 0;
}

const magic = (value: number) => {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(value, 0);
  return header;
};

test('a request without its magic number ends the connection', async (t) => {
  const served = await serve(t);
  const client = await NbdClient.open(served.path);
  await client.go('structured');
  client.write(magic(0x1234_5678));
  await client.hungUp();
  t.regex(served.endings.join(), /request magic 12345678h/);
  t.true(await isAlive(served));
});

test('an extended request where plain ones were agreed on ends the connection', async (t) => {
  const served = await serve(t);
  const client = await NbdClient.open(served.path);
  await client.go('extended');
  client.write(Buffer.concat([magic(REQUEST_MAGIC), Buffer.alloc(4)]));
  await client.hungUp();
  t.regex(served.endings.join(), /request magic/);
});

test('a request for which we have no memory ends its connection, loudly, and nobody else', async (t) => {
  const served = await serve(t);
  const { memory } = served.core.environment;
  const client = await NbdClient.open(served.path);
  await client.go('simple');
  const allocate = memory.allocate.bind(memory);
  memory.allocate = () => {
    throw new RangeError('no memory for the test');
  };
  client.request({ type: Command.READ, length: 4096 });
  await client.hungUp();
  memory.allocate = allocate;
  t.regex(served.endings.join('\n'), /a connection cannot go on: RangeError: no memory for the test\n +at/);
  t.is(served.endings.at(-1), 'no memory for the test');
  t.true(await isAlive(served));
});

test('a payload beyond all measure ends the connection, without memory for it', async (t) => {
  const served = await serve(t);
  const client = await NbdClient.open(served.path);
  await client.go('extended');
  client.request({ type: Command.WRITE, flags: 32, length: MAX_PAYLOAD + 512 });
  await client.hungUp();
  t.regex(served.endings.join(), /a payload of/);
  t.true(await isAlive(served));
});

test('a write that is too long is read to its end and refused', async (t) => {
  const served = await serve(t);
  const client = await NbdClient.open(served.path);
  await client.go('simple');
  const payload = Buffer.alloc(40 << 20);
  client.request({ type: Command.WRITE, length: payload.length, payload, cookie: 1 });
  t.deepEqual(await client.simpleReply(), { error: 22, cookie: 1, data: Buffer.alloc(0) });
  client.request({ type: Command.FLUSH, cookie: 2 });
  t.is((await client.simpleReply()).cookie, 2);
  client.close();
});

test('clients that vanish in the middle leave nothing behind', async (t) => {
  const served = await serve(t);
  const cut: [title: string, act: (client: NbdClient) => void][] = [
    ['of an option', (client) => client.sendOption(Option.GO, Buffer.alloc(3), 100)],
    ['of a header', (client) => client.write(magic(REQUEST_MAGIC).subarray(0, 20))],
    [
      'of a payload',
      (client) => client.request({ type: Command.WRITE, length: 1 << 20, payload: Buffer.alloc(1000) }),
    ],
    ['of a read', (client) => client.request({ type: Command.READ, length: 1 << 20 })],
  ];
  for (const [title, act] of cut) {
    const client = await NbdClient.open(served.path);
    if (title !== 'of an option') await client.go('simple');
    act(client);
    await delay(20);
    client.close();
    t.true(await isAlive(served), title);
  }
  t.true(await buffersReturned(served));
});

test('a client that vanishes while the disk works is waited for no longer than the disk', async (t) => {
  const served = await serve(t);
  const client = await NbdClient.open(served.path);
  await client.go('simple');
  served.core.backstore.hold = true;
  for (let i = 0; i < 10; i++) client.request({ type: Command.READ, offset: i * 4096, length: 4096 });
  while (served.core.backstore.held.length < 10) await delay(1);
  client.close();
  served.core.backstore.hold = false;
  t.true(await buffersReturned(served));
  t.true(await isAlive(served));
});

test('a client that does not read gets no more memory than its budget', async (t) => {
  const served = await serve(t);
  const client = await NbdClient.open(served.path);
  await client.go('simple');
  client.socket.pause();
  const before = process.memoryUsage().rss;
  // 400 MiB of replies that nobody takes.
  for (let i = 0; i < 400; i++) client.request({ type: Command.READ, offset: 0, length: 1 << 20, cookie: i });
  await delay(500);
  const { outstanding } = served.core.environment.memory;
  t.true(outstanding <= 65, `${outstanding} MiB`);
  t.true(process.memoryUsage().rss - before < 300 << 20);
  t.true(await isAlive(served));
  // It wakes up: everything comes.
  client.socket.resume();
  for (let i = 0; i < 400; i++) t.is((await client.simpleReply(1 << 20)).cookie, i);
  t.true(await buffersReturned(served));
  client.close();
});

test('a client that does not read even short answers is not listened to any more', async (t) => {
  const served = await serve(t, 4096);
  const client = await NbdClient.open(served.path);
  await client.go('simple');
  client.socket.pause();
  const COUNT = 100_000;
  const { log } = served.core.backstore;
  const flushes = () => log.filter(({ kind }) => kind === OperationKind.FLUSH).length;
  const requests = Buffer.alloc(COUNT * 28);
  for (let i = 0; i < COUNT; i++) {
    requests.writeUInt32BE(REQUEST_MAGIC, i * 28);
    requests.writeUInt16BE(Command.FLUSH, i * 28 + 6);
    requests.writeUInt32BE(i, i * 28 + 12);
  }
  client.write(requests);
  // Until nothing moves any more.
  for (let last = -1; last !== flushes(); ) {
    last = flushes();
    await delay(200);
    t.true(await isAlive(served));
  }
  t.true(flushes() < COUNT / 2, `${flushes()}`);
  client.socket.resume();
  for (let i = 0; i < COUNT; i++) t.is((await client.simpleReply()).cookie, i);
  client.close();
});

test('a client that sends option upon option and reads no answer is hung up on', async (t) => {
  const served = await serve(t);
  served.server.exports[0] = Object.assign(Object.create(served.server.exports[0]), {
    description: 'x'.repeat(64 << 10),
  });
  const client = await NbdClient.open(served.path);
  client.socket.pause();
  for (let i = 0; i < 1000; i++) client.sendOption(Option.LIST);
  while (!served.endings.some((reason) => /not read/.test(reason))) await delay(10);
  t.pass();
});

test('after DISC the client may close its side, and still gets its answers', async (t) => {
  const served = await serve(t);
  const client = await NbdClient.open(served.path);
  await client.go('simple');
  served.core.backstore.hold = true;
  client.request({ type: Command.WRITE, length: 4096, payload: Buffer.alloc(4096, 1), cookie: 1 });
  client.request({ type: Command.READ, length: 4096, cookie: 2 });
  client.request({ type: Command.DISC });
  client.socket.end();
  while (served.core.backstore.held.length < 1) await delay(1);
  await delay(50);
  served.core.backstore.hold = false;
  served.core.backstore.releaseHeld();
  const cookies = [await client.simpleReply(), await client.simpleReply(4096)].map(({ cookie }) => cookie);
  t.deepEqual(cookies, [1, 2]);
  await client.hungUp();
  t.deepEqual(served.endings, ['the client has finished']);
});

test('a client that closes its side without DISC is gone', async (t) => {
  const served = await serve(t);
  const client = await NbdClient.open(served.path);
  await client.go('simple');
  client.socket.end();
  await client.hungUp();
  t.deepEqual(served.endings, ['the client closed the connection']);
});

test('a server that stops answers what is under way, and refuses what still comes', async (t) => {
  const served = await serve(t);
  const [busy, idle, silent] = [
    await NbdClient.open(served.path),
    await NbdClient.open(served.path),
    await NbdClient.open(served.path),
  ];
  await busy.go('simple');
  await idle.go('simple');
  served.core.backstore.hold = true;
  busy.request({ type: Command.WRITE, length: 4096, payload: Buffer.alloc(4096, 1), cookie: 1 });
  while (served.core.backstore.held.length < 1) await delay(1);
  const stopped = served.server.close();
  await idle.hungUp();
  await silent.hungUp();
  busy.request({ type: Command.FLUSH, cookie: 2 });
  t.like(await busy.simpleReply(), { error: 108, cookie: 2 });
  served.core.backstore.releaseHeld();
  t.like(await busy.simpleReply(), { error: 0, cookie: 1 });
  await busy.hungUp();
  await stopped;
});

test("strangers who say nothing are in nobody's way", async (t) => {
  const served = await serve(t);
  const silent = await Promise.all(Array.from({ length: 10 }, () => NbdClient.open(served.path)));
  t.true(await isAlive(served));
  for (const client of silent) client.close();
});

test('whatever bytes come, the parser of options answers or ends the connection', (t) => {
  const directory = { exports: [], find: () => undefined };
  const option = fc.oneof(fc.constantFrom(...Object.values(Option)), fc.nat());
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.array(fc.tuple(option, fc.uint8Array({ maxLength: 200 }))), (options) => {
        const handshake = new Handshake(directory, 'offered');
        for (const [code, data] of options) {
          try {
            handshake.option(code, Buffer.from(data));
          } catch (error) {
            if (!(error instanceof NbdProtocolError)) throw error;
          }
        }
      }),
    ),
  );
});

test('random bytes on the socket break only their own connection', async (t) => {
  const served = await serve(t);
  for (let i = 0; i < 30; i++) {
    const client = await NbdClient.open(served.path, i % 2 === 0 ? 3 : i);
    if (i % 3 === 0) await client.go(i % 2 === 0 ? 'structured' : 'simple').catch(() => {});
    client.write(randomBytes(1000));
    await delay(5);
    client.close();
  }
  t.true(await isAlive(served));
  t.true(await buffersReturned(served));
});

test('large and small writes, sent in pieces of any size, arrive as they were', async (t) => {
  const served = await serve(t);
  const LENGTHS = [512, 256 << 10, 4096, 65536 - 28, 65536, 1024, 300 << 10, 64 << 10].map(
    (length) => Math.ceil(length / 512) * 512,
  );
  const disk = Buffer.concat(LENGTHS.map((length, i) => Buffer.alloc(length, `write ${i} `)));
  let offset = 0;
  const stream = Buffer.concat(
    LENGTHS.map((length, cookie) => {
      const payload = disk.subarray(offset, offset + length);
      const bytes = writeRequest(offset, payload, cookie);
      offset += length;
      return bytes;
    }),
  );
  for (const piece of [1000, 65536, 100_003, stream.length]) {
    const client = await NbdClient.open(served.path);
    await client.go('simple');
    for (let at = 0; at < stream.length; at += piece) {
      client.write(stream.subarray(at, at + piece));
      if (piece < 65536 && at % (10 * piece) !== 0) continue;
      // So that the server sees the pieces.
      await delay(1);
    }
    for (let i = 0; i < LENGTHS.length; i++) t.is((await client.simpleReply()).error, 0);
    client.request({ type: Command.READ, length: disk.length, cookie: 99 });
    const { data } = await client.simpleReply(disk.length);
    t.true(data.equals(disk), `pieces of ${piece}`);
    client.request({ type: Command.WRITE_ZEROES, length: disk.length });
    t.is((await client.simpleReply()).error, 0);
    client.close();
  }
});

/** A plain WRITE with its payload. */
function writeRequest(offset: number, payload: Uint8Array, cookie: number): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(REQUEST_MAGIC, 0);
  header.writeUInt16BE(Command.WRITE, 6);
  header.writeBigUInt64BE(BigInt(cookie), 8);
  header.writeBigUInt64BE(BigInt(offset), 16);
  header.writeUInt32BE(payload.length, 24);
  return Buffer.concat([header, payload]);
}

test('all clients together have a bound, and none is kept from its first request by others', async (t) => {
  const served = await serve(t, 1 << 20);
  Object.assign(served.server, { budget: new BufferBudget(1 << 20) });
  const [greedy, modest] = [await NbdClient.open(served.path), await NbdClient.open(served.path)];
  for (const client of [greedy, modest]) await client.go('simple');
  const { backstore } = served.core;
  const started = async (count: number) => {
    while (backstore.held.length < count) await delay(1);
    await delay(20);
    return backstore.held.length;
  };
  backstore.hold = true;
  for (let i = 0; i < 3; i++) greedy.request({ type: Command.READ, length: 1 << 20, cookie: i });
  t.is(await started(1), 1);
  for (let i = 0; i < 3; i++) modest.request({ type: Command.READ, length: 4096, cookie: i });
  t.is(await started(2), 2);
  backstore.hold = false;
  backstore.releaseHeld();
  for (let i = 0; i < 3; i++) {
    t.is((await greedy.simpleReply(1 << 20)).cookie, i);
    t.is((await modest.simpleReply(4096)).cookie, i);
  }
  t.true(await buffersReturned(served));
});
