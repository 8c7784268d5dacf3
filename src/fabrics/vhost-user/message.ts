/**
 * Vhost-user messages between bytes and values: pure, without sockets. Every parser takes exactly the bytes of
 * one payload, and throws a ProtocolError for anything that is not what the specification says.
 */
import { ProtocolError } from './protocol-error.ts';
import {
  ConfigMessage,
  InflightMessage,
  IotlbMessage,
  LogMessage,
  MemoryRegion,
  MemoryTableMessage,
  MessageFlags,
  MessageHeader,
  SingleRegionMessage,
  U64_LENGTH,
  VringAddress,
  VringFd,
  VringState,
} from './vhost-user-spec.ts';

/** The longest payload that is ours to understand is the configuration space; anything longer is nonsense. */
export const MAX_PAYLOAD = 4096;

export interface Header {
  readonly request: number;
  readonly flags: number;
  /** Bytes of payload. */
  readonly size: number;
}

export interface RingAddresses {
  readonly index: number;
  /** The front-end's own addresses; IOVAs when an IOMMU is negotiated. */
  readonly descriptor: number;
  readonly used: number;
  readonly available: number;
  /** Whether writes to the used ring are logged, at `log` (guest-physical). */
  readonly logged: boolean;
  readonly log: number;
}

export interface RegionDescription {
  /** Guest-physical. */
  readonly guestAddress: number;
  /** Bytes. */
  readonly size: number;
  /** The front-end's own address. */
  readonly userAddress: number;
  /** Where the region starts in its file, bytes. */
  readonly mmapOffset: number;
}

export interface InflightDescription {
  /** Bytes. */
  readonly mmapSize: number;
  readonly mmapOffset: number;
  readonly queues: number;
  /** Descriptors per ring. */
  readonly queueSize: number;
}

export interface IotlbDescription {
  readonly iova: number;
  /** Bytes. */
  readonly size: number;
  readonly userAddress: number;
  readonly permission: number;
  readonly type: number;
}

export interface ConfigAccess {
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  readonly flags: number;
  readonly data: Uint8Array;
}

export function parseHeader(bytes: Uint8Array): Header {
  const view = viewOf(bytes, MessageHeader.LENGTH, 'header');
  const header = {
    request: view.getUint32(MessageHeader.REQUEST, true),
    flags: view.getUint32(MessageHeader.FLAGS, true),
    size: view.getUint32(MessageHeader.SIZE, true),
  };
  const version = header.flags & MessageFlags.VERSION_MASK;
  if (version !== MessageFlags.VERSION) {
    throw new ProtocolError(`message version ${version}, expected ${MessageFlags.VERSION}`);
  }
  if (header.size > MAX_PAYLOAD)
    throw new ProtocolError(`message of ${header.size} bytes, at most ${MAX_PAYLOAD}`);
  return header;
}

/** A message's bytes. */
export function serialise(request: number, flags: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(MessageHeader.LENGTH + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(MessageHeader.REQUEST, request, true);
  view.setUint32(MessageHeader.FLAGS, flags | MessageFlags.VERSION, true);
  view.setUint32(MessageHeader.SIZE, payload.length, true);
  bytes.set(payload, MessageHeader.LENGTH);
  return bytes;
}

/** A set of feature bits. Cold path only: a bigint has all 64. */
export function parseU64(payload: Uint8Array): bigint {
  return viewOf(payload, U64_LENGTH, 'u64').getBigUint64(0, true);
}

export function u64Payload(value: bigint): Uint8Array {
  const bytes = new Uint8Array(U64_LENGTH);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return bytes;
}

export function parseVringState(payload: Uint8Array): { index: number; value: number } {
  const view = viewOf(payload, VringState.LENGTH, 'vring state');
  return { index: view.getUint32(VringState.INDEX, true), value: view.getUint32(VringState.VALUE, true) };
}

export function vringStatePayload(index: number, value: number): Uint8Array {
  const bytes = new Uint8Array(VringState.LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(VringState.INDEX, index, true);
  view.setUint32(VringState.VALUE, value, true);
  return bytes;
}

/** SET_VRING_KICK, _CALL, _ERR; `withFd` says whether exactly one descriptor has to come along. */
export function parseVringFd(payload: Uint8Array): { index: number; withFd: boolean } {
  const value = parseU64(payload);
  if (value > BigInt(VringFd.NO_FD | VringFd.INDEX_MASK)) {
    throw new ProtocolError(`vring file descriptor with unknown flags 0x${value.toString(16)}`);
  }
  const bits = Number(value);
  return { index: bits & VringFd.INDEX_MASK, withFd: (bits & VringFd.NO_FD) === 0 };
}

export function parseVringAddress(payload: Uint8Array): RingAddresses {
  const view = viewOf(payload, VringAddress.LENGTH, 'vring address');
  const logged = (view.getUint32(VringAddress.FLAGS, true) & VringAddress.LOG_FLAG) !== 0;
  return {
    index: view.getUint32(VringAddress.INDEX, true),
    descriptor: exact(view, VringAddress.DESCRIPTOR, 'descriptor table address'),
    used: exact(view, VringAddress.USED, 'used ring address'),
    available: exact(view, VringAddress.AVAILABLE, 'available ring address'),
    logged,
    // Front-ends leave rubbish there while they do not log.
    log: logged ? exact(view, VringAddress.LOG, 'log address') : 0,
  };
}

export function parseMemoryTable(payload: Uint8Array): RegionDescription[] {
  if (payload.length < MemoryTableMessage.REGIONS) throw tooShort('memory table', payload.length);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const count = view.getUint32(MemoryTableMessage.COUNT, true);
  if (count > MemoryTableMessage.MAX_REGIONS) {
    throw new ProtocolError(
      `${count} memory regions, at most ${MemoryTableMessage.MAX_REGIONS} in one message`,
    );
  }
  const end = MemoryTableMessage.REGIONS + count * MemoryRegion.LENGTH;
  if (payload.length < end) throw tooShort('memory table', payload.length);
  const regions: RegionDescription[] = [];
  for (let at = MemoryTableMessage.REGIONS; at < end; at += MemoryRegion.LENGTH)
    regions.push(regionAt(view, at));
  return regions;
}

export function parseSingleRegion(payload: Uint8Array): RegionDescription {
  return regionAt(viewOf(payload, SingleRegionMessage.LENGTH, 'memory region'), SingleRegionMessage.REGION);
}

export function parseLog(payload: Uint8Array): { size: number; offset: number } {
  const view = viewOf(payload, LogMessage.LENGTH, 'log description');
  return {
    size: exact(view, LogMessage.SIZE, 'log size'),
    offset: exact(view, LogMessage.OFFSET, 'log offset'),
  };
}

export function parseInflight(payload: Uint8Array): InflightDescription {
  // 20 bytes by the specification's table, 24 as every front-end sends the padded C structure.
  const padded = payload.length === InflightMessage.LENGTH;
  const view = viewOf(
    payload,
    padded ? InflightMessage.LENGTH : InflightMessage.FIELDS_LENGTH,
    'inflight description',
  );
  return {
    mmapSize: exact(view, InflightMessage.MMAP_SIZE, 'inflight size'),
    mmapOffset: exact(view, InflightMessage.MMAP_OFFSET, 'inflight offset'),
    queues: view.getUint16(InflightMessage.NUM_QUEUES, true),
    queueSize: view.getUint16(InflightMessage.QUEUE_SIZE, true),
  };
}

/** `length` is that of the request: the reply has the same size. */
export function inflightPayload(inflight: InflightDescription, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(InflightMessage.MMAP_SIZE, BigInt(inflight.mmapSize), true);
  view.setBigUint64(InflightMessage.MMAP_OFFSET, BigInt(inflight.mmapOffset), true);
  view.setUint16(InflightMessage.NUM_QUEUES, inflight.queues, true);
  view.setUint16(InflightMessage.QUEUE_SIZE, inflight.queueSize, true);
  return bytes;
}

export function parseIotlb(payload: Uint8Array): IotlbDescription {
  const view = viewOf(payload, IotlbMessage.LENGTH, 'IOTLB message');
  return {
    iova: exact(view, IotlbMessage.IOVA, 'IOVA'),
    // "Everything" is written as 2^64 bytes or as one less, so as 0 or as more than a Number holds.
    size: Math.min(Number(view.getBigUint64(IotlbMessage.SIZE, true)), 2 ** 53) || 2 ** 53,
    userAddress: exact(view, IotlbMessage.USER_ADDRESS, 'IOTLB user address'),
    permission: view.getUint8(IotlbMessage.PERMISSION),
    type: view.getUint8(IotlbMessage.TYPE),
  };
}

export function iotlbPayload(iotlb: IotlbDescription): Uint8Array {
  const bytes = new Uint8Array(IotlbMessage.LENGTH);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(IotlbMessage.IOVA, BigInt(iotlb.iova), true);
  view.setBigUint64(IotlbMessage.SIZE, BigInt(iotlb.size), true);
  view.setBigUint64(IotlbMessage.USER_ADDRESS, BigInt(iotlb.userAddress), true);
  view.setUint8(IotlbMessage.PERMISSION, iotlb.permission);
  view.setUint8(IotlbMessage.TYPE, iotlb.type);
  return bytes;
}

export function parseConfig(payload: Uint8Array): ConfigAccess {
  if (payload.length < ConfigMessage.PAYLOAD) throw tooShort('configuration access', payload.length);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const offset = view.getUint32(ConfigMessage.OFFSET, true);
  const size = view.getUint32(ConfigMessage.SIZE, true);
  if (offset + size > ConfigMessage.MAX_SIZE) {
    throw new ProtocolError(
      `configuration access to ${offset}+${size}, the space ends at ${ConfigMessage.MAX_SIZE}`,
    );
  }
  if (payload.length !== ConfigMessage.PAYLOAD + size) {
    throw new ProtocolError(
      `configuration access of ${size} bytes with ${payload.length - ConfigMessage.PAYLOAD}`,
    );
  }
  return {
    offset,
    size,
    flags: view.getUint32(ConfigMessage.FLAGS, true),
    data: payload.slice(ConfigMessage.PAYLOAD),
  };
}

export function configPayload(offset: number, flags: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ConfigMessage.PAYLOAD + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(ConfigMessage.OFFSET, offset, true);
  view.setUint32(ConfigMessage.SIZE, data.length, true);
  view.setUint32(ConfigMessage.FLAGS, flags, true);
  bytes.set(data, ConfigMessage.PAYLOAD);
  return bytes;
}

function regionAt(view: DataView, at: number): RegionDescription {
  return {
    guestAddress: exact(view, at + MemoryRegion.GUEST_ADDRESS, 'guest address'),
    size: exact(view, at + MemoryRegion.SIZE, 'region size'),
    userAddress: exact(view, at + MemoryRegion.USER_ADDRESS, 'user address'),
    mmapOffset: exact(view, at + MemoryRegion.MMAP_OFFSET, 'mmap offset'),
  };
}

function viewOf(payload: Uint8Array, length: number, what: string): DataView {
  if (payload.length !== length) {
    throw new ProtocolError(`${what} of ${payload.length} bytes, expected ${length}`);
  }
  return new DataView(payload.buffer, payload.byteOffset, length);
}

/** A u64 as a Number. Addresses and sizes of 2^53 and above exist nowhere, and could not be computed with. */
function exact(view: DataView, at: number, what: string): number {
  const high = view.getUint32(at + 4, true);
  if (high >= 2 ** 21) throw new ProtocolError(`${what} of 2^53 or more`);
  return high * 2 ** 32 + view.getUint32(at, true);
}

function tooShort(what: string, length: number): ProtocolError {
  return new ProtocolError(`${what} cut short after ${length} bytes`);
}
