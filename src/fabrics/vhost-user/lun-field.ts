/** The 8-byte LUN field of virtio-scsi requests and events (virtio 1.2, 5.6.6.1). */
import { putU16 } from '../../scsi/bytes.ts';
import { decodeLunLevel, encodeLunLevel } from '../../scsi/lun-field.ts';
import { INVALID_LUN, REPORT_LUNS_WELL_KNOWN_LUN } from '../../scsi/lun-map.ts';
import { LUN_FORMAT_SINGLE_LEVEL, LunField } from './virtio-scsi-spec.ts';

/** What `targetOf` returns for the well-known logical unit in its own form, which names no target. */
export const ANY_TARGET = -1;
/** What `targetOf` returns for a field in no known form. */
export const NO_TARGET = -2;

const { FORMAT, TARGET, LUN, LENGTH } = LunField;
const SINGLE_LEVEL = LUN_FORMAT_SINGLE_LEVEL;
const WELL_KNOWN_HIGH = REPORT_LUNS_WELL_KNOWN_LUN >>> 8;
const WELL_KNOWN_LOW = REPORT_LUNS_WELL_KNOWN_LUN & 0xff;

/** The target number in the field at `at`. */
export function targetOf(bytes: Uint8Array, at: number): number {
  if (bytes[at + FORMAT] === SINGLE_LEVEL) return bytes[at + TARGET];
  const wellKnown =
    bytes[at] === WELL_KNOWN_HIGH && bytes[at + 1] === WELL_KNOWN_LOW && isZero(bytes, at + 2, at + LENGTH);
  return wellKnown ? ANY_TARGET : NO_TARGET;
}

/** The LUN in the field at `at`, whose form `targetOf` has accepted; INVALID_LUN when it has no meaning here. */
export function lunOf(bytes: Uint8Array, at: number): number {
  if (bytes[at + FORMAT] !== SINGLE_LEVEL) return REPORT_LUNS_WELL_KNOWN_LUN;
  // The last four bytes, without a loop: it is looked at in each request.
  if ((bytes[at + 4] | bytes[at + 5] | bytes[at + 6] | bytes[at + 7]) !== 0) return INVALID_LUN;
  // Linux writes all LUNs in this form, the well-known one included.
  return decodeLunLevel(bytes[at + LUN], bytes[at + LUN + 1]);
}

/** Writes the field as REPORT LUNS has it: guests compare the two. */
export function putLunField(bytes: Uint8Array, at: number, target: number, lun: number): void {
  bytes.fill(0, at, at + LENGTH);
  bytes[at + FORMAT] = SINGLE_LEVEL;
  bytes[at + TARGET] = target;
  putU16(bytes, at + LUN, encodeLunLevel(lun));
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
