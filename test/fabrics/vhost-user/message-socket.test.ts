/** Peers that do not read, or never stop writing: what is theirs stays theirs, and others have their turn. */
import { fstatSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { MessageSocket } from '../../../src/fabrics/vhost-user/message-socket.ts';
import { MessageFlags, ProtocolFeature, Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { EMPTY, inflight, message, u64 } from '../../support/vhost-user/messages.ts';
import { eventually, resources, Served } from '../../support/vhost-user/served.ts';
import { socketPair } from '../../support/vhost-user/socket-pair.ts';

const QUIET = { messageReceived: () => {}, socketClosed: () => {} };

/** Receives until `fds` came along; returns the first of them. */
function receiveDescriptor(fd: number): number {
  const bytes = new Uint8Array(4096);
  const fds = new Int32Array(8);
  const count = new Int32Array(1);
  while (addon.receive(fd, bytes, 0, bytes.length, fds, count) > 0) if (count[0] > 0) return fds[0];
  return -1;
}

test.serial(
  'a descriptor whose reply has to wait is sent itself, and not what has its number then',
  async (t) => {
    const [ours, theirs] = await socketPair();
    const socket = new MessageSocket(ours, QUIET);
    const reply = message(Request.GET_FEATURES, u64(0), MessageFlags.REPLY);
    const attached = addon.memfd('attached', 4096);
    const { ino } = fstatSync(attached);
    // The socket's buffer takes fewer than these.
    const waiting = () => Reflect.get(socket, 'unsent').length as number;
    while (waiting() === 0) socket.send(reply);
    socket.send(reply, [attached]);
    const others = Array.from({ length: 8 }, () => addon.memfd('of another guest', 4096));
    let received = -1;
    while (received < 0) {
      received = receiveDescriptor(theirs);
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.is(fstatSync(received).ino, ino);
    socket.close();
    for (const fd of [theirs, received, ...others]) addon.close(fd);
  },
);

test.serial('descriptors that wait to be sent are closed with the socket', async (t) => {
  const [ours, theirs] = await socketPair();
  const socket = new MessageSocket(ours, QUIET);
  const fds = Array.from({ length: 2 }, () => addon.memfd('attached', 4096));
  const large = new Uint8Array(1 << 20);
  socket.send(large);
  socket.send(large, [fds[0]]);
  socket.close();
  socket.send(large, [fds[1]]);
  for (const fd of fds) t.throws(() => fstatSync(fd), { code: 'EBADF' });
  addon.close(theirs);
});

test.serial('a front-end that reads no replies loses its connection, with all that was for it', async (t) => {
  const served = await Served.start();
  const before = resources();
  const fd = addon.unixConnect(served.socketPath);
  const send = (bytes: Uint8Array) => addon.send(fd, bytes, 0, bytes.length, new Int32Array(0), 0) > 0;
  send(message(Request.SET_PROTOCOL_FEATURES, u64(1n << BigInt(ProtocolFeature.INFLIGHT_SHMFD))));
  const wanted = message(Request.GET_INFLIGHT_FD, inflight(0, 0, 1, 128));
  await eventually(() => {
    while (send(wanted));
    return served.target.state.lastDisconnect !== undefined;
  });
  t.regex(served.target.state.lastDisconnect!, /does not read its replies/);
  addon.close(fd);
  await eventually(() => resources().fds === before.fds);
  t.deepEqual(resources(), before);
  await served.close();
});

test.serial('a peer that writes as fast as it is read leaves others their turn', async (t) => {
  const [ours, theirs] = await socketPair();
  let messages = 0;
  const socket = new MessageSocket(ours, { ...QUIET, messageReceived: () => void messages++ });
  // Half of the bytes of a message, and the other half, and so on: from another thread.
  const flood = new Worker(
    `const { workerData } = require('node:worker_threads');
     import(workerData.addon).then(({ addon }) => {
       const bytes = workerData.bytes;
       const end = Date.now() + 700;
       while (Date.now() < end) addon.send(workerData.fd, bytes, 0, bytes.length, new Int32Array(0), 0);
     });`,
    {
      eval: true,
      workerData: {
        addon: new URL('../../../src/native/addon.js', import.meta.url).href,
        fd: theirs,
        bytes: message(Request.SET_OWNER, EMPTY),
      },
    },
  );
  const ended = new Promise((resolve) => flood.once('exit', resolve));
  await eventually(() => messages > 0);
  let longest = 0;
  for (let last = performance.now(), i = 0; i < 100; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }
  t.true(longest < 200, `${longest} ms`);
  await ended;
  socket.close();
  addon.close(theirs);
});
