/** The LUN field (SAM-5 4.7): between eight bytes on a wire and the number that LUN maps use. */
import { INVALID_LUN, REPORT_LUNS_WELL_KNOWN_LUN } from './lun-map.ts';

const AddressMethod = { PERIPHERAL: 0, FLAT: 1, EXTENDED: 3 } as const;

/** One addressing level of two bytes: peripheral (bus 0), flat space, or the REPORT LUNS well-known unit. */
export function decodeLunLevel(high: number, low: number): number {
  switch (high >> 6) {
    case AddressMethod.PERIPHERAL:
      return high === 0 ? low : INVALID_LUN;
    case AddressMethod.FLAT:
      return ((high & 0x3f) << 8) | low;
    case AddressMethod.EXTENDED:
      return ((high << 8) | low) === REPORT_LUNS_WELL_KNOWN_LUN ? REPORT_LUNS_WELL_KNOWN_LUN : INVALID_LUN;
    default:
      return INVALID_LUN;
  }
}

/** The 8-byte field at `at`; levels below the first must be empty, since targets here are single-level. */
export function decodeLun(bytes: Uint8Array, at: number): number {
  for (let i = 2; i < 8; i++) if (bytes[at + i] !== 0) return INVALID_LUN;
  return decodeLunLevel(bytes[at], bytes[at + 1]);
}

/** The first two bytes of the field: peripheral below 256, flat space above, well-known as it is. */
export function encodeLunLevel(lun: number): number {
  return lun < 256 || lun === REPORT_LUNS_WELL_KNOWN_LUN ? lun : 0x4000 | lun;
}
