/** Kicks and signals as messages, for front-ends without eventfds (protocol feature INBAND_NOTIFICATIONS). */
import test, { type ExecutionContext } from 'ava';
import {
  BackendRequest,
  MessageFlags,
  ProtocolFeature,
  Request,
} from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { u32 } from '../../../src/scsi/bytes.ts';
import { DriverQueue } from '../../support/vhost-user/driver-queue.ts';
import { USUAL_FEATURES, USUAL_PROTOCOL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { GuestMemory } from '../../support/vhost-user/guest-memory.ts';
import type { Frame } from '../../support/vhost-user/message-channel.ts';
import { message, u64, vringAddress, vringFd, vringState } from '../../support/vhost-user/messages.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const IN_BAND = 1n << BigInt(ProtocolFeature.INBAND_NOTIFICATIONS);
/** A driver that wants each signal. */
const FEATURES = USUAL_FEATURES & ~(1n << BigInt(VirtioFeature.RING_EVENT_IDX));
const RING = 2;
const CDB = 19;
const RESPONSE = 108;

/** A front-end with one request ring and no descriptor for it. */
async function start(t: ExecutionContext, { withoutCalls = false } = {}) {
  const served = await Served.start();
  const frontEnd = served.connect();
  await frontEnd.negotiate(FEATURES, USUAL_PROTOCOL_FEATURES | IN_BAND);
  const memory = new GuestMemory([{ guestAddress: 0, length: 1 << 20 }]);
  await frontEnd.shareMemory(memory);
  const channel = await frontEnd.openBackendChannel();
  const frames: Frame[] = [];
  channel.onFrame = (frame) => frames.push(frame);
  const ring = new DriverQueue(memory, { eventIdx: false });
  await frontEnd.send(Request.SET_VRING_NUM, vringState(RING, ring.size));
  await frontEnd.send(Request.SET_VRING_BASE, vringState(RING, 0));
  const addresses = {
    index: RING,
    descriptor: memory.userAddress(ring.descriptorAddress),
    used: memory.userAddress(ring.usedAddress),
    available: memory.userAddress(ring.availableAddress),
  };
  await frontEnd.send(Request.SET_VRING_ADDR, vringAddress(addresses));
  await frontEnd.send(Request.SET_VRING_ENABLE, vringState(RING, 1));
  if (withoutCalls) await frontEnd.send(Request.SET_VRING_CALL, vringFd(RING, false));
  t.teardown(async () => {
    frontEnd.close();
    channel.close();
    ring.close();
    memory.close();
    await served.close();
  });
  const kick = () => frontEnd.send(Request.VRING_KICK, vringState(RING, 0));
  /** TEST UNIT READY, made available and not yet kicked. */
  const add = () => {
    const output = memory.allocate(CDB + 32);
    memory.bytes(output, CDB + 32).fill(0)[0] = 1;
    memory.bytes(output, CDB + 32)[2] = 0x40;
    ring.add([
      { address: output, length: CDB + 32, writable: false },
      { address: memory.allocate(RESPONSE), length: RESPONSE, writable: true },
    ]);
    ring.publish();
  };
  const answer = () =>
    channel.send(message(BackendRequest.VRING_CALL, u64(0), MessageFlags.VERSION | MessageFlags.REPLY));
  const completed = () =>
    served.target.state.frontEnd!.rings.find(({ index }) => index === RING)?.completed ?? 0;
  return { frontEnd, memory, ring, frames, kick, add, answer, completed };
}

test('a kick by message starts the ring, and its driver is called by message', async (t) => {
  const { frames, kick, add, completed } = await start(t);
  add();
  await kick();
  await eventually(() => frames.length === 1);
  t.is(completed(), 1);
  t.is(frames[0].request, BackendRequest.VRING_CALL);
  t.not(frames[0].flags & MessageFlags.NEED_REPLY, 0);
  t.is(new DataView(frames[0].payload.buffer, frames[0].payload.byteOffset).getUint32(0, true), RING);
  t.is(u32(frames[0].payload, 4), 0);
});

test('while a call is not answered there is no second one, and after the answer there is', async (t) => {
  const { frames, kick, add, answer, completed } = await start(t);
  for (let i = 0; i < 5; i++) {
    add();
    await kick();
  }
  await eventually(() => completed() === 5);
  t.is(frames.length, 1);
  answer();
  await eventually(() => frames.length === 2);
  answer();
  add();
  await kick();
  await eventually(() => frames.length === 3);
  t.is(completed(), 6);
});

test('a call that was not answered is made again on a new channel, whose front-end may not have heard it', async (t) => {
  const { frontEnd, frames, kick, add } = await start(t);
  add();
  await kick();
  await eventually(() => frames.length === 1);
  const again: Frame[] = [];
  const channel = await frontEnd.openBackendChannel();
  t.teardown(() => channel.close());
  channel.onFrame = (frame) => again.push(frame);
  await eventually(() => again.length === 1);
  t.is(again[0].request, BackendRequest.VRING_CALL);
  channel.send(message(BackendRequest.VRING_CALL, u64(0), MessageFlags.VERSION | MessageFlags.REPLY));
  add();
  await kick();
  await eventually(() => again.length === 2);
});

test('a driver that polls is not called', async (t) => {
  const { frames, kick, add, completed } = await start(t, { withoutCalls: true });
  add();
  await kick();
  await eventually(() => completed() === 1);
  t.is(frames.length, 0);
});

test('a front-end that gave a call descriptor once is sent no such message when its ring starts again', async (t) => {
  const { frontEnd, frames, kick, add, completed } = await start(t);
  const callFd = addon.eventfd();
  t.teardown(() => addon.close(callFd));
  await frontEnd.send(Request.SET_VRING_CALL, vringFd(RING, true), { fds: [callFd] });
  for (const round of [1, 2]) {
    add();
    await kick();
    await eventually(() => completed() === round);
    // As QEMU does between firmware, boot loader and kernel; its next descriptor comes after the ring's start.
    await frontEnd.getVringBase(RING);
  }
  t.deepEqual(frames, []);
});

test('a broken ring is told by message', async (t) => {
  const { frames, kick, memory, ring } = await start(t);
  // An index that jumps by more than the ring.
  memory.bytes(ring.availableAddress + 2, 2).set([0xff, 0x7f]);
  await kick();
  // It is called at its start, too.
  await eventually(() => frames.length === 2);
  t.deepEqual(
    frames.map(({ request }) => request),
    [BackendRequest.VRING_ERR, BackendRequest.VRING_CALL],
  );
});

test('without the feature such a kick ends the connection; the feature needs a channel and answers', async (t) => {
  const served = await Served.start();
  t.teardown(() => served.close());
  const plain = served.connect();
  await plain.negotiate(USUAL_FEATURES, USUAL_PROTOCOL_FEATURES);
  plain.send(Request.VRING_KICK, vringState(RING, 0)).catch(() => {});
  await plain.closed;
  const mute = served.connect();
  await mute.getFeatures();
  await mute.getProtocolFeatures();
  mute.setProtocolFeatures(IN_BAND).catch(() => {});
  await mute.closed;
  t.pass();
});
