/** The 8-byte LUN field of virtio-scsi requests and events (virtio 1.2, 5.6.6.1). */
import { INVALID_LUN, REPORT_LUNS_WELL_KNOWN_LUN } from '../../scsi/lun-map.ts';
import { LUN_FORMAT_SINGLE_LEVEL, LunField } from './virtio-scsi-spec.ts';

/** What `targetOf` returns for the well-known logical unit in its own form, which names no target. */
export const ANY_TARGET = -1;
/** What `targetOf` returns for a field in no known form. */
export const NO_TARGET = -2;

/** SAM-5 4.7.7.3 and 4.7.7.4: the two address methods of single-level LUNs. */
const ADDRESS_METHOD_MASK = 0xc0;
const FLAT_SPACE = 0x40;
const WELL_KNOWN_HIGH = REPORT_LUNS_WELL_KNOWN_LUN >>> 8;
const WELL_KNOWN_LOW = REPORT_LUNS_WELL_KNOWN_LUN & 0xff;

/** The target number in the field at `at`. */
export function targetOf(bytes: Uint8Array, at: number): number {
  if (bytes[at + LunField.FORMAT] === LUN_FORMAT_SINGLE_LEVEL) return bytes[at + LunField.TARGET];
  const wellKnown =
    bytes[at] === WELL_KNOWN_HIGH &&
    bytes[at + 1] === WELL_KNOWN_LOW &&
    isZero(bytes, at + 2, at + LunField.LENGTH);
  return wellKnown ? ANY_TARGET : NO_TARGET;
}

/** The LUN in the field at `at`, whose form `targetOf` has accepted; INVALID_LUN when it has no meaning here. */
export function lunOf(bytes: Uint8Array, at: number): number {
  if (bytes[at + LunField.FORMAT] !== LUN_FORMAT_SINGLE_LEVEL) return REPORT_LUNS_WELL_KNOWN_LUN;
  if (!isZero(bytes, at + LunField.LUN + 2, at + LunField.LENGTH)) return INVALID_LUN;
  const high = bytes[at + LunField.LUN];
  const low = bytes[at + LunField.LUN + 1];
  if ((high & ADDRESS_METHOD_MASK) === FLAT_SPACE) return ((high & ~ADDRESS_METHOD_MASK) << 8) | low;
  // Peripheral device addressing, of bus 0 only.
  if (high === 0) return low;
  // Linux writes all LUNs like this one, the well-known one included.
  if (high === WELL_KNOWN_HIGH && low === WELL_KNOWN_LOW) return REPORT_LUNS_WELL_KNOWN_LUN;
  return INVALID_LUN;
}

/** Writes the field as REPORT LUNS has it: guests compare the two. */
export function putLunField(bytes: Uint8Array, at: number, target: number, lun: number): void {
  bytes.fill(0, at, at + LunField.LENGTH);
  bytes[at + LunField.FORMAT] = LUN_FORMAT_SINGLE_LEVEL;
  bytes[at + LunField.TARGET] = target;
  bytes[at + LunField.LUN] = lun < 256 ? 0 : (lun >>> 8) | FLAT_SPACE;
  bytes[at + LunField.LUN + 1] = lun;
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
