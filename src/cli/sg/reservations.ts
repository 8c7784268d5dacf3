/** PERSISTENT RESERVE IN data (SPC-4 6.15). Keys are hexadecimal: they have all 64 bits. */
import { u16, u32 } from '../../scsi/bytes.ts';
import {
  FullStatus,
  IN_HEADER_LENGTH,
  KEY_LENGTH,
  ReservationType,
} from '../../scsi/reservations/persistent-reservation-spec.ts';
import { bits, type Decoded, decodeFields, hex } from './decoded.ts';

const SCOPE_AND_TYPE = IN_HEADER_LENGTH + 13;

export function decodeKeys(data: Uint8Array): Decoded {
  const keys: string[] = [];
  for (let at = IN_HEADER_LENGTH; at + KEY_LENGTH <= end(data); at += KEY_LENGTH) keys.push(keyAt(data, at));
  return { prgeneration: u32(data, 0), keys };
}

export function decodeReservation(data: Uint8Array): Decoded {
  const prgeneration = u32(data, 0);
  if (u32(data, 4) === 0) return { prgeneration, held: false };
  return {
    prgeneration,
    held: true,
    key: keyAt(data, IN_HEADER_LENGTH),
    ...scopeAndType(data[SCOPE_AND_TYPE]),
  };
}

export function decodeFullStatus(data: Uint8Array): Decoded {
  const registrations: Decoded[] = [];
  let at = IN_HEADER_LENGTH;
  while (at + FullStatus.LENGTH <= end(data)) {
    const idLength = u32(data, at + FullStatus.TRANSPORT_ID_LENGTH);
    const holds = (data[at + FullStatus.R_HOLDER_BYTE] & FullStatus.R_HOLDER) !== 0;
    const id = data.subarray(at + FullStatus.TRANSPORT_ID, at + FullStatus.TRANSPORT_ID + idLength);
    registrations.push({
      key: keyAt(data, at),
      holds_reservation: holds,
      type: holds ? typeName(data[at + FullStatus.SCOPE_AND_TYPE] & 0x0f) : '',
      relative_target_port: u16(data, at + FullStatus.RELATIVE_TARGET_PORT),
      transport_id: transportName(id),
    });
    at += FullStatus.LENGTH + idLength;
  }
  return { prgeneration: u32(data, 0), registrations };
}

const CAPABILITIES = [
  bits('rlr_c', 2, 7),
  bits('crh', 2, 4),
  bits('sip_c', 2, 3),
  bits('atp_c', 2, 2),
  bits('ptpl_c', 2, 0),
  bits('tmv', 3, 7),
  bits('allow_commands', 3, 4, 3),
  bits('ptpl_a', 3, 0),
  bits('wr_ex_ar', 4, 7),
  bits('ex_ac_ro', 4, 6),
  bits('wr_ex_ro', 4, 5),
  bits('ex_ac', 4, 3),
  bits('wr_ex', 4, 1),
  bits('ex_ac_ar', 5, 0),
];

export function decodeCapabilities(data: Uint8Array): Decoded {
  return decodeFields(data, CAPABILITIES);
}

function typeName(type: number): string {
  const found = Object.entries(ReservationType).find(([, value]) => value === type);
  return found === undefined ? `type ${type}` : found[0].toLowerCase().replaceAll('_', ' ');
}

function scopeAndType(byte: number): Decoded {
  return { scope: byte >> 4, type: typeName(byte & 0x0f), type_code: byte & 0x0f };
}

function keyAt(data: Uint8Array, at: number): string {
  return `0x${hex(data.subarray(at, at + KEY_LENGTH)).replace(/^0+(?=.)/, '')}`;
}

/** A TransportID (SPC-4 7.6.4) as its protocol's users know it. */
function transportName(id: Uint8Array): string {
  switch (id[0] & 0x0f) {
    case 0x5:
      return Buffer.from(id.subarray(4)).toString('latin1').replace(/\0+$/, '');
    case 0x6:
      return `naa.${hex(id.subarray(4, 12))}`;
    default:
      return hex(id);
  }
}

/** Where the data end, by their own word and by what arrived. */
function end(data: Uint8Array): number {
  return Math.min(data.length, IN_HEADER_LENGTH + u32(data, 4));
}
