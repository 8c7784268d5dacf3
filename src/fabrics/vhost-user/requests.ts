/**
 * What each message of the front-end does: a table keyed by message id ("Front-end message types"). A handler
 * parses its payload, calls the back-end, and returns the reply's payload, if the message has one.
 */
import { addon } from '../../native/addon.ts';
import type { Connection } from './connection.ts';
import { hasFeature } from './feature-set.ts';
import {
  configPayload,
  inflightPayload,
  parseConfig,
  parseInflight,
  parseIotlb,
  parseLog,
  parseMemoryTable,
  parseSingleRegion,
  parseU64,
  parseVringAddress,
  parseVringFd,
  parseVringState,
  u64Payload,
  vringStatePayload,
} from './message.ts';
import { ProtocolError } from './protocol-error.ts';
import { MAX_MEMORY_SLOTS, ProtocolFeature, Request } from './vhost-user-spec.ts';

export interface Reply {
  readonly payload: Uint8Array;
  /** Sent along, and closed then. */
  readonly fds?: number[];
}

/** `fds` came with the message: a handler takes out those that it gives an owner, the others are closed. */
export type RequestHandler = (
  connection: Connection,
  payload: Uint8Array,
  fds: number[],
) => Reply | undefined | Promise<Reply | undefined>;

/** A message without a reply of its own. */
function silent(
  work: (connection: Connection, payload: Uint8Array, fds: number[]) => void | Promise<void>,
): RequestHandler {
  return async (connection, payload, fds) => {
    await work(connection, payload, fds);
    return undefined;
  };
}

const u64 = (value: bigint): Reply => ({ payload: u64Payload(value) });

/** A message without payload. */
function empty(payload: Uint8Array): void {
  if (payload.length !== 0) throw new ProtocolError(`${payload.length} bytes in a message without payload`);
}

/** The one descriptor that has to come along. It stays in `fds`. */
function onlyFd(fds: readonly number[]): number {
  if (fds.length !== 1) throw new ProtocolError(`${fds.length} file descriptors where one is expected`);
  return fds[0];
}

/** As `onlyFd`, for descriptors that a ring takes over. */
function vringFd(payload: Uint8Array, fds: number[]): { index: number; fd: number | undefined } {
  const { index, withFd } = parseVringFd(payload);
  if (!withFd) return { index, fd: undefined };
  onlyFd(fds);
  return { index, fd: fds.pop() };
}

export const requestHandlers: ReadonlyMap<number, RequestHandler> = new Map<number, RequestHandler>([
  [
    Request.GET_FEATURES,
    ({ backEnd }, payload) => {
      empty(payload);
      return u64(backEnd.offeredFeatures);
    },
  ],
  [Request.SET_FEATURES, silent(({ backEnd }, payload) => backEnd.setFeatures(parseU64(payload)))],
  [
    Request.GET_PROTOCOL_FEATURES,
    (connection, payload) => {
      empty(payload);
      return u64(connection.offeredProtocolFeatures);
    },
  ],
  [
    Request.SET_PROTOCOL_FEATURES,
    silent((connection, payload) => connection.setProtocolFeatures(parseU64(payload))),
  ],
  [
    Request.SET_OWNER,
    silent(({ backEnd }, payload) => {
      empty(payload);
      return backEnd.begin();
    }),
  ],
  // Deprecated; the protocol recommends to ignore it.
  [Request.RESET_OWNER, silent(() => {})],
  [
    Request.GET_QUEUE_NUM,
    ({ backEnd }, payload) => {
      empty(payload);
      return u64(BigInt(backEnd.device.maxRings));
    },
  ],
  [
    Request.SET_MEM_TABLE,
    silent(({ backEnd }, payload, fds) => backEnd.setMemoryTable(parseMemoryTable(payload), fds)),
  ],
  [Request.GET_MAX_MEM_SLOTS, () => u64(BigInt(MAX_MEMORY_SLOTS))],
  [
    Request.ADD_MEM_REG,
    silent(({ backEnd }, payload, fds) => backEnd.addRegion(parseSingleRegion(payload), onlyFd(fds))),
  ],
  [
    Request.REM_MEM_REG,
    // A descriptor may come along from front-ends that do it wrong; it is closed like all others.
    silent(({ backEnd }, payload) => backEnd.removeRegion(parseSingleRegion(payload))),
  ],
  [
    Request.SET_VRING_NUM,
    silent(({ backEnd }, payload) => {
      const { index, value } = parseVringState(payload);
      backEnd.rings.setSize(index, value);
    }),
  ],
  [
    Request.SET_VRING_ADDR,
    silent(({ backEnd }, payload) => backEnd.rings.setAddresses(parseVringAddress(payload))),
  ],
  [
    Request.SET_VRING_BASE,
    silent(({ backEnd }, payload) => {
      const { index, value } = parseVringState(payload);
      backEnd.rings.setBase(index, value);
    }),
  ],
  [
    Request.GET_VRING_BASE,
    async ({ backEnd }, payload) => {
      const { index } = parseVringState(payload);
      return { payload: vringStatePayload(index, await backEnd.stopRing(index)) };
    },
  ],
  [
    Request.SET_VRING_KICK,
    silent(({ backEnd }, payload, fds) => {
      const { index, fd } = vringFd(payload, fds);
      backEnd.kickRing(index, fd);
    }),
  ],
  [
    Request.VRING_KICK,
    silent(({ backEnd }, payload) => {
      const { index, value } = parseVringState(payload);
      if (value !== 0) throw new ProtocolError(`ring ${index} kicked with ${value}, expected 0`);
      backEnd.kickRingInBand(index);
    }),
  ],
  [
    Request.SET_VRING_CALL,
    silent(({ backEnd }, payload, fds) => {
      const { index, fd } = vringFd(payload, fds);
      backEnd.rings.at(index).setCall(fd);
    }),
  ],
  [
    Request.SET_VRING_ERR,
    silent(({ backEnd }, payload, fds) => {
      const { index, fd } = vringFd(payload, fds);
      backEnd.rings.at(index).setErr(fd);
    }),
  ],
  [
    Request.SET_VRING_ENABLE,
    silent(({ backEnd }, payload) => {
      const { index, value } = parseVringState(payload);
      if (value > 1) throw new ProtocolError(`ring ${index} enabled with ${value}, expected 0 or 1`);
      backEnd.rings.at(index).enable(value === 1);
    }),
  ],
  [
    Request.RESET_DEVICE,
    silent(({ backEnd }, payload) => {
      empty(payload);
      return backEnd.reset();
    }),
  ],
  [
    Request.SET_BACKEND_REQ_FD,
    silent((connection, _payload, fds) => {
      // Nobody could be asked over anything else, and to poll it may wait for whoever is behind it.
      if (addon.isUnixStream(onlyFd(fds))) connection.openBackendChannel(fds.pop()!);
    }),
  ],
  [
    Request.SET_LOG_BASE,
    ({ backEnd }, payload, fds) => {
      const { size, offset } = parseLog(payload);
      backEnd.setLog(size, offset, onlyFd(fds));
      // Always answered, whether asked for or not.
      return u64(0n);
    },
  ],
  // An eventfd to be signalled when the log changes: optional, and no front-end waits for it.
  [Request.SET_LOG_FD, silent(() => {})],
  [
    Request.IOTLB_MSG,
    async ({ backEnd }, payload) => {
      await backEnd.changeTranslations(parseIotlb(payload));
      // Always answered, whether asked for or not.
      return u64(0n);
    },
  ],
  [
    Request.GET_INFLIGHT_FD,
    ({ backEnd }, payload) => {
      const { queues, queueSize } = parseInflight(payload);
      const { description, fd } = backEnd.createInflight(queues, queueSize);
      return { payload: inflightPayload(description, payload.length), fds: [fd] };
    },
  ],
  [
    Request.SET_INFLIGHT_FD,
    silent(({ backEnd }, payload, fds) => backEnd.setInflight(parseInflight(payload), onlyFd(fds))),
  ],
  [
    Request.GET_CONFIG,
    ({ backEnd }, payload) => {
      const { offset, size, flags } = parseConfig(payload);
      const space = backEnd.device.readConfig();
      // A payload of no bytes says that there is an error.
      if (offset + size > space.length) return { payload: new Uint8Array(0) };
      return { payload: configPayload(offset, flags, space.subarray(offset, offset + size)) };
    },
  ],
  [Request.SET_CONFIG, silent(({ backEnd }, payload) => backEnd.device.writeConfig(parseConfig(payload)))],
]);

/** Messages that need a protocol feature. */
const REQUIRED: ReadonlyMap<number, number> = new Map<number, number>([
  [Request.GET_QUEUE_NUM, ProtocolFeature.MQ],
  [Request.SET_LOG_BASE, ProtocolFeature.LOG_SHMFD],
  [Request.SET_BACKEND_REQ_FD, ProtocolFeature.BACKEND_REQ],
  [Request.GET_INFLIGHT_FD, ProtocolFeature.INFLIGHT_SHMFD],
  [Request.SET_INFLIGHT_FD, ProtocolFeature.INFLIGHT_SHMFD],
  [Request.RESET_DEVICE, ProtocolFeature.RESET_DEVICE],
  [Request.GET_MAX_MEM_SLOTS, ProtocolFeature.CONFIGURE_MEM_SLOTS],
  [Request.ADD_MEM_REG, ProtocolFeature.CONFIGURE_MEM_SLOTS],
  [Request.REM_MEM_REG, ProtocolFeature.CONFIGURE_MEM_SLOTS],
  [Request.VRING_KICK, ProtocolFeature.INBAND_NOTIFICATIONS],
  [Request.GET_CONFIG, ProtocolFeature.CONFIG],
  [Request.SET_CONFIG, ProtocolFeature.CONFIG],
]);

/** Whether a set of negotiated protocol features allows the message. */
export function allowed(request: number, protocolFeatures: bigint): boolean {
  const feature = REQUIRED.get(request);
  return feature === undefined || hasFeature(protocolFeatures, feature);
}
