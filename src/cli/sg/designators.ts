/** Designation descriptors (SPC-4 7.8.6), as the Device Identification and SCSI Ports pages carry them. */
import { u16, u32 } from '../../scsi/bytes.ts';
import { type Decoded, hex, text, type Value } from './decoded.ts';

const ASSOCIATIONS = ['logical unit', 'target port', 'target device'];
const TYPES = [
  'vendor specific',
  'T10 vendor ID',
  'EUI-64',
  'NAA',
  'relative target port',
  'target port group',
  'logical unit group',
  'MD5',
  'SCSI name string',
  'protocol specific',
  'UUID',
];
const DesignatorType = { RELATIVE_TARGET_PORT: 4, TARGET_PORT_GROUP: 5, LOGICAL_UNIT_GROUP: 6 } as const;
const CodeSet = { ASCII: 2, UTF_8: 3 } as const;
const HEADER = 4;
const PIV = 0x80;

/** Every descriptor of `bytes`; a cut-off last one is left out. */
export function decodeDesignators(bytes: Uint8Array): Decoded[] {
  const found: Decoded[] = [];
  for (let at = 0; at + HEADER <= bytes.length; at += HEADER + bytes[at + 3]) {
    const end = at + HEADER + bytes[at + 3];
    if (end > bytes.length) break;
    found.push(decodeDesignator(bytes.subarray(at, end)));
  }
  return found;
}

function decodeDesignator(bytes: Uint8Array): Decoded {
  const type = bytes[1] & 0x0f;
  const protocol: Decoded = (bytes[1] & PIV) !== 0 ? { protocol: bytes[0] >> 4 } : {};
  return {
    association: ASSOCIATIONS[(bytes[1] >> 4) & 0x03] ?? 'reserved',
    type: TYPES[type] ?? `type ${type}`,
    ...protocol,
    designator: designatorValue(type, bytes[0] & 0x0f, bytes.subarray(HEADER)),
  };
}

function designatorValue(type: number, codeSet: number, body: Uint8Array): Value {
  switch (type) {
    case DesignatorType.RELATIVE_TARGET_PORT:
    case DesignatorType.TARGET_PORT_GROUP:
    case DesignatorType.LOGICAL_UNIT_GROUP:
      return u16(body, 2);
    default:
      return codeSet === CodeSet.ASCII || codeSet === CodeSet.UTF_8 ? text(body, 0, body.length) : hex(body);
  }
}

/** The SCSI Ports page (SPC-4 7.8.14): each port with its initiator's TransportID and its designators. */
export function decodePorts(page: Uint8Array): Decoded[] {
  const ports: Decoded[] = [];
  let at = 4;
  while (at + 12 <= page.length) {
    const initiatorEnd = at + 8 + u16(page, at + 6);
    if (initiatorEnd + 4 > page.length) break;
    const end = initiatorEnd + 4 + u16(page, initiatorEnd + 2);
    ports.push({
      relative_port: u32(page, at) & 0xffff,
      designators: decodeDesignators(page.subarray(initiatorEnd + 4, end)),
    });
    at = end;
  }
  return ports;
}
