/**
 * TransportIDs (SPC-4 7.6.4): how one initiator names another in PERSISTENT RESERVE OUT. They are kept in one
 * canonical form, with reserved bytes zero and iSCSI names in lower case, so that equal ports compare equal.
 */
import { toHex, u16 } from '../bytes.ts';

const PROTOCOL = 0x0f;
const FORMAT = 0xc0;
const ISCSI = 0x5;
/** FORMAT CODE 01b of iSCSI: name and initiator session identifier, that is, one port. */
const ISCSI_PORT = 0x40;
const ISCSI_HEADER = 4;
const ISCSI_MINIMUM = 20;
/** TransportIDs of all other protocols. */
const FIXED_LENGTH = 24;
/** PROTOCOL IDENTIFIER Fh: a target port of no particular protocol takes all TransportIDs. */
const NO_PROTOCOL = 0xf;

/** Which bytes carry the name, by PROTOCOL IDENTIFIER (SPC-4 7.6.4.2 to 7.6.4.10). */
const NAME_BYTES: ReadonlyMap<number, readonly [start: number, end: number]> = new Map([
  // Fibre Channel: N_PORT_NAME.
  [0x0, [8, 16]],
  // Parallel SCSI: SCSI address and relative target port identifier.
  [0x1, [2, 8]],
  // IEEE 1394: EUI-64.
  [0x3, [8, 16]],
  // RDMA: initiator port identifier.
  [0x4, [8, 24]],
  // SAS address.
  [0x6, [4, 12]],
  // SCSI over PCIe: routing identifier.
  [0xa, [2, 4]],
]);

export interface ParsedTransportId {
  /** Canonical form, in hexadecimal. */
  readonly id: string;
  readonly protocol: number;
  /** Bytes that it takes in the list. */
  readonly length: number;
}

/**
 * The TransportID at `at`. Undefined when it is none, or when it goes beyond `end`, or when it names an iSCSI node
 * instead of one port (FORMAT CODE 00b, which SPC-4 7.6.4.6 lets a device server refuse).
 */
export function parseTransportId(bytes: Uint8Array, at: number, end: number): ParsedTransportId | undefined {
  if (at >= end) return undefined;
  const protocol = bytes[at] & PROTOCOL;
  if (protocol === ISCSI) return parseIscsi(bytes, at, end);
  const name = NAME_BYTES.get(protocol);
  if (name === undefined || (bytes[at] & FORMAT) !== 0 || at + FIXED_LENGTH > end) return undefined;
  const canonical = new Uint8Array(FIXED_LENGTH);
  canonical[0] = protocol;
  canonical.set(bytes.subarray(at + name[0], at + name[1]), name[0]);
  return { id: toHex(canonical), protocol, length: FIXED_LENGTH };
}

function parseIscsi(bytes: Uint8Array, at: number, end: number): ParsedTransportId | undefined {
  if (at + ISCSI_HEADER > end || (bytes[at] & FORMAT) !== ISCSI_PORT) return undefined;
  const additional = u16(bytes, at + 2);
  if (additional < ISCSI_MINIMUM || additional % 4 !== 0) return undefined;
  const length = ISCSI_HEADER + additional;
  if (at + length > end) return undefined;
  const text = bytes.subarray(at + ISCSI_HEADER, at + length);
  const nameLength = text.indexOf(0);
  if (nameLength <= 0) return undefined;
  const padded = Math.max(ISCSI_MINIMUM, Math.ceil((nameLength + 1) / 4) * 4);
  const canonical = new Uint8Array(ISCSI_HEADER + padded);
  canonical[0] = ISCSI_PORT | ISCSI;
  canonical[2] = padded >> 8;
  canonical[3] = padded;
  for (let i = 0; i < nameLength; i++) canonical[ISCSI_HEADER + i] = lowerCase(text[i]);
  return { id: toHex(canonical), protocol: ISCSI, length };
}

function lowerCase(character: number): number {
  return character >= 0x41 && character <= 0x5a ? character + 0x20 : character;
}

/** Canonical form of the TransportID that a fabric gives its initiator port; as it is where it is malformed. */
export function canonicalTransportId(bytes: Uint8Array): string {
  return parseTransportId(bytes, 0, bytes.length)?.id ?? toHex(bytes);
}

/** Whether an initiator of this protocol can reach a target port of that one. */
export function protocolsMatch(transportId: ParsedTransportId, targetPortProtocol: number): boolean {
  return targetPortProtocol === NO_PROTOCOL || transportId.protocol === targetPortProtocol;
}
