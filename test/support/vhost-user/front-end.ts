/**
 * A vhost-user front-end in plain TypeScript: what QEMU is to a back-end, for tests and benchmarks that need no
 * QEMU. It speaks every message, attaches real descriptors, and sends nonsense when asked to.
 *
 *     const memory = new GuestMemory([{ guestAddress: 0, length: 1 << 26 }]);
 *     const frontEnd = FrontEnd.connect('/run/user/1000/lunport/disk.sock');
 *     await frontEnd.negotiate();
 *     await frontEnd.shareMemory(memory);
 *     const driver = await VirtioScsiDriver.start(frontEnd, memory);
 *     const { status, dataIn } = await driver.execute({ cdb: [0x12, 0, 0, 0, 36, 0], dataInLength: 36 });
 *     driver.close();
 *     frontEnd.close();
 *     memory.close();
 */
import { featureSet, hasFeature } from '../../../src/fabrics/vhost-user/feature-set.ts';
import {
  MessageFlags,
  ProtocolFeature,
  Request,
  VhostFeature,
} from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { ScsiFeature } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';
import { UnixListener } from '../../../src/native/unix-socket.ts';
import type { GuestMemory } from './guest-memory.ts';
import { type Frame, MessageChannel } from './message-channel.ts';
import {
  EMPTY,
  memoryTable,
  message,
  singleRegion,
  u64,
  vringAddress,
  vringFd,
  vringState,
} from './messages.ts';
import { socketPair } from './socket-pair.ts';

/** What this front-end takes when it is offered: what QEMU's vhost-user-scsi takes. */
export const USUAL_FEATURES = featureSet(
  VirtioFeature.VERSION_1,
  VirtioFeature.RING_INDIRECT_DESC,
  VirtioFeature.RING_EVENT_IDX,
  VhostFeature.PROTOCOL_FEATURES,
  ScsiFeature.HOTPLUG,
  ScsiFeature.CHANGE,
);

export const USUAL_PROTOCOL_FEATURES = featureSet(
  ProtocolFeature.MQ,
  ProtocolFeature.LOG_SHMFD,
  ProtocolFeature.REPLY_ACK,
  ProtocolFeature.BACKEND_REQ,
  ProtocolFeature.INFLIGHT_SHMFD,
  ProtocolFeature.RESET_DEVICE,
  ProtocolFeature.CONFIGURE_MEM_SLOTS,
);

export interface SendOptions {
  readonly fds?: readonly number[];
  /** Ask for an acknowledgement; default: when REPLY_ACK is negotiated. */
  readonly needReply?: boolean;
}

/** A ring's parts, by guest address, and its eventfds: what a `DriverQueue` has. */
export interface Ring {
  readonly size: number;
  readonly descriptorAddress: number;
  readonly availableAddress: number;
  readonly usedAddress: number;
  readonly kickFd: number;
  readonly callFd: number;
}

/** The back-end closed the connection, which is its answer to a broken message. */
export class ConnectionClosed extends Error {
  override readonly name = 'ConnectionClosed';
}

/** An acknowledgement (REPLY_ACK) other than 0. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly code: bigint;

  constructor(request: number, code: bigint) {
    super(`the back-end refused request ${request} with ${code}`);
    this.code = code;
  }
}

interface Waiter {
  resolve(frame: Frame): void;
  reject(error: Error): void;
}

export class FrontEnd {
  /** Negotiated sets, kept up to date by `setFeatures` and `setProtocolFeatures`. */
  features = 0n;
  protocolFeatures = 0n;
  readonly channel: MessageChannel;
  private readonly waiters: Waiter[] = [];
  private gone = false;

  private constructor(channel: MessageChannel) {
    this.channel = channel;
    channel.onFrame = (frame) => this.waiters.shift()?.resolve(frame);
    void channel.closed.then(() => {
      this.gone = true;
      for (const waiter of this.waiters.splice(0)) waiter.reject(new ConnectionClosed('connection closed'));
    });
  }

  static connect(path: string): FrontEnd {
    return new FrontEnd(new MessageChannel(checked(addon.unixConnect(path), 'connect to', path)));
  }

  /** Listens at `path` until a back-end connects, as QEMU does with `server=on,wait=on`. */
  static accept(path: string): Promise<FrontEnd> {
    return new Promise((resolve, reject) => {
      const listener = new UnixListener(path, {
        connected: (fd) => {
          listener.close();
          resolve(new FrontEnd(new MessageChannel(fd)));
        },
        acceptFailed: reject,
      });
    });
  }

  /** Resolves when the connection is gone, whoever ended it. */
  get closed(): Promise<void> {
    return this.channel.closed;
  }

  close(): void {
    this.channel.close();
  }

  // -- Any message ------------------------------------------------------------------------------------------

  /** Sends bytes as they are. */
  sendRaw(bytes: Uint8Array, fds: readonly number[] = []): void {
    this.channel.send(bytes, fds);
  }

  /** Sends a message and waits for its reply; rejects with ConnectionClosed. */
  request(request: number, payload = EMPTY, fds: readonly number[] = []): Promise<Frame> {
    const reply = this.nextReply();
    this.channel.send(message(request, payload), fds);
    return reply;
  }

  /** Sends a message without reply, and waits for the acknowledgement where one was negotiated or asked for. */
  async send(request: number, payload = EMPTY, options: SendOptions = {}): Promise<void> {
    const needReply = options.needReply ?? hasFeature(this.protocolFeatures, ProtocolFeature.REPLY_ACK);
    const flags = MessageFlags.VERSION | (needReply ? MessageFlags.NEED_REPLY : 0);
    const reply = needReply ? this.nextReply() : undefined;
    this.channel.send(message(request, payload, flags), options.fds);
    if (reply === undefined) return;
    const code = readU64((await reply).payload);
    if (code !== 0n) throw new Refused(request, code);
  }

  /** The next frame that nobody else waits for. */
  nextReply(): Promise<Frame> {
    if (this.gone) return Promise.reject(new ConnectionClosed('connection closed'));
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  // -- Features ---------------------------------------------------------------------------------------------

  async getFeatures(): Promise<bigint> {
    return readU64((await this.request(Request.GET_FEATURES)).payload);
  }

  async setFeatures(features: bigint): Promise<void> {
    this.features = features;
    await this.send(Request.SET_FEATURES, u64(features));
  }

  async getProtocolFeatures(): Promise<bigint> {
    return readU64((await this.request(Request.GET_PROTOCOL_FEATURES)).payload);
  }

  /** REPLY_ACK holds from the next message on. */
  async setProtocolFeatures(features: bigint): Promise<void> {
    await this.send(Request.SET_PROTOCOL_FEATURES, u64(features));
    this.protocolFeatures = features;
  }

  /** What QEMU does first: takes of both sets what is offered and wanted. */
  async negotiate(wanted = USUAL_FEATURES, wantedProtocol = USUAL_PROTOCOL_FEATURES): Promise<void> {
    const offered = await this.getFeatures();
    if (hasFeature(offered, VhostFeature.PROTOCOL_FEATURES)) {
      await this.setProtocolFeatures((await this.getProtocolFeatures()) & wantedProtocol);
    }
    await this.send(Request.SET_OWNER);
    await this.setFeatures(offered & wanted);
  }

  async getQueueNum(): Promise<number> {
    return Number(readU64((await this.request(Request.GET_QUEUE_NUM)).payload));
  }

  // -- Memory -----------------------------------------------------------------------------------------------

  /** By ADD_MEM_REG where that is negotiated and `slots` does not forbid it, else by SET_MEM_TABLE. */
  async shareMemory(memory: GuestMemory, slots = true): Promise<void> {
    if (slots && hasFeature(this.protocolFeatures, ProtocolFeature.CONFIGURE_MEM_SLOTS)) {
      for (const region of memory.regions) {
        await this.send(Request.ADD_MEM_REG, singleRegion(region), { fds: [region.fd] });
      }
      return;
    }
    const fds = memory.regions.map((region) => region.fd);
    await this.send(Request.SET_MEM_TABLE, memoryTable(memory.regions), { fds });
  }

  // -- Rings ------------------------------------------------------------------------------------------------

  /** SET_VRING_NUM, _BASE, _ADDR, _CALL and _KICK in QEMU's order; `enableRing` makes it run. */
  async setUpRing(index: number, ring: Ring, memory: GuestMemory, base = 0, polled = false): Promise<void> {
    await this.send(Request.SET_VRING_NUM, vringState(index, ring.size));
    await this.send(Request.SET_VRING_BASE, vringState(index, base));
    await this.send(
      Request.SET_VRING_ADDR,
      vringAddress({
        index,
        descriptor: memory.userAddress(ring.descriptorAddress),
        used: memory.userAddress(ring.usedAddress),
        available: memory.userAddress(ring.availableAddress),
      }),
    );
    await this.send(Request.SET_VRING_CALL, vringFd(index, true), { fds: [ring.callFd] });
    await this.kickWith(index, polled ? undefined : ring.kickFd);
  }

  /** Starts a ring with a kick descriptor; without one, it is to be polled. */
  async kickWith(index: number, kickFd: number | undefined): Promise<void> {
    const fds = kickFd === undefined ? [] : [kickFd];
    await this.send(Request.SET_VRING_KICK, vringFd(index, kickFd !== undefined), { fds });
  }

  async enableRing(index: number, enabled = true): Promise<void> {
    await this.send(Request.SET_VRING_ENABLE, vringState(index, enabled ? 1 : 0));
  }

  /** Stops a ring; returns where its avail index stood. */
  async getVringBase(index: number): Promise<number> {
    const { payload } = await this.request(Request.GET_VRING_BASE, vringState(index, 0));
    return new DataView(payload.buffer, payload.byteOffset).getUint32(4, true);
  }

  // -- The back-end's own requests ---------------------------------------------------------------------------

  /** SET_BACKEND_REQ_FD: returns our end of the new channel. */
  async openBackendChannel(): Promise<MessageChannel> {
    const [ours, theirs] = await socketPair();
    await this.send(Request.SET_BACKEND_REQ_FD, EMPTY, { fds: [theirs] });
    addon.close(theirs);
    return new MessageChannel(ours);
  }
}

export function readU64(payload: Uint8Array): bigint {
  return new DataView(payload.buffer, payload.byteOffset, payload.length).getBigUint64(0, true);
}
