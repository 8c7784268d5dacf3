/**
 * Designation descriptors (SPC-4 7.8.6.2): the names in the Device Identification and SCSI Ports VPD pages.
 *
 *   0  PROTOCOL IDENTIFIER 7-4, CODE SET 3-0
 *   1  PIV 7, ASSOCIATION 5-4, DESIGNATOR TYPE 3-0
 *   2  reserved
 *   3  DESIGNATOR LENGTH
 *   4  DESIGNATOR
 */
import { putAscii, putU16 } from '../bytes.ts';
import type { TargetPort } from '../port.ts';

export const CodeSet = { BINARY: 1, ASCII: 2, UTF8: 3 } as const;
export const Association = { LOGICAL_UNIT: 0, TARGET_PORT: 1, TARGET_DEVICE: 2 } as const;
export const DesignatorType = {
  T10_VENDOR_ID: 1,
  NAA: 3,
  RELATIVE_TARGET_PORT: 4,
  TARGET_PORT_GROUP: 5,
  SCSI_NAME_STRING: 8,
} as const;

const HEADER = 4;
const PIV = 0x80;
const MAXIMUM_DESIGNATOR = 255;
const ISCSI = 5;

interface Designation {
  readonly codeSet: number;
  readonly association: number;
  readonly type: number;
  readonly designator: Uint8Array;
  /** PROTOCOL IDENTIFIER, for designators of ports and devices. */
  readonly protocol?: number;
}

/** One descriptor, header included. */
export function designationDescriptor(designation: Designation): Uint8Array {
  const { codeSet, association, type, designator, protocol } = designation;
  const length = Math.min(designator.length, MAXIMUM_DESIGNATOR);
  const bytes = new Uint8Array(HEADER + length);
  bytes[0] = codeSet | ((protocol ?? 0) << 4);
  bytes[1] = (protocol === undefined ? 0 : PIV) | (association << 4) | type;
  bytes[3] = length;
  bytes.set(designator.subarray(0, length), HEADER);
  return bytes;
}

/** A SCSI name string: NUL-terminated and padded to a multiple of four bytes (SPC-4 7.8.6.11). */
export function nameString(text: string): Uint8Array {
  const bytes = new Uint8Array((text.length + 4) & ~3);
  putAscii(bytes, 0, text.length, text);
  return bytes;
}

/** The target port's name in the form of its protocol: NAA or SCSI name string; none when it has no such name. */
export function targetPortName(port: TargetPort): Uint8Array | undefined {
  const association = Association.TARGET_PORT;
  const { name, protocol } = port;
  const naa = naaBytes(name);
  if (naa !== undefined) {
    return designationDescriptor({
      codeSet: CodeSet.BINARY,
      association,
      type: DesignatorType.NAA,
      designator: naa,
      protocol,
    });
  }
  if (protocol !== ISCSI) return undefined;
  return designationDescriptor({
    codeSet: CodeSet.UTF8,
    association,
    type: DesignatorType.SCSI_NAME_STRING,
    designator: nameString(name),
    protocol,
  });
}

/** The target device's name, of protocols that have one: for iSCSI the port's name without its portal group. */
export function targetDeviceName(port: TargetPort): Uint8Array | undefined {
  if (port.protocol !== ISCSI) return undefined;
  return designationDescriptor({
    codeSet: CodeSet.UTF8,
    association: Association.TARGET_DEVICE,
    type: DesignatorType.SCSI_NAME_STRING,
    designator: nameString(port.name.replace(/,t,0x[0-9a-f]{4}$/i, '')),
    protocol: port.protocol,
  });
}

/** A 16-bit number as RELATIVE TARGET PORT and TARGET PORT GROUP designators have it. */
export function numberDesignator(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  putU16(bytes, 2, value);
  return bytes;
}

function naaBytes(name: string): Uint8Array | undefined {
  const digits = /^naa\.([0-9a-f]{16}|[0-9a-f]{32})$/i.exec(name)?.[1];
  if (digits === undefined) return undefined;
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) =>
    Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
}
