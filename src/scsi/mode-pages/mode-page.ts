/**
 * A mode page (SPC-4 7.5, SBC-3 6.4): one row per page. A row knows the page's default values and which bits
 * MODE SELECT may change; mode-parameters.ts keeps what was changed.
 *
 *   page_0 format                       sub_page format
 *   0  PS 7, SPF 6, PAGE CODE 5-0       0  PS 7, SPF 6, PAGE CODE 5-0
 *   1  PAGE LENGTH                      1  SUBPAGE CODE
 *   2  parameters                       2  PAGE LENGTH (two bytes)
 *                                       4  parameters
 */
import type { BlockDevice } from '../block-device.ts';
import { putU16 } from '../bytes.ts';

export const PS = 0x80;
export const SPF = 0x40;
export const PAGE_CODE = 0x3f;

/** A field that cannot have the value that was sent, counted from the start of the page. */
export interface BadField {
  readonly byte: number;
  /** Most significant bit of the field. */
  readonly bit?: number;
}

export interface ModePage {
  readonly code: number;
  /** 0: page_0 format. */
  readonly subpage: number;
  /** The standard's name. */
  readonly name: string;
  /** Absent: every device has the page. */
  readonly supported?: (device: BlockDevice) => boolean;
  /** The whole page with the values it has before anybody changed them; PS is added by the reader. */
  readonly defaults: (device: BlockDevice) => Uint8Array;
  /** Byte offsets from the start of the page and the bits there that MODE SELECT may change. Absent: none. */
  readonly changeable?: (device: BlockDevice) => readonly (readonly [byte: number, bits: number])[];
  /** The first field whose value no unit may take; called with changeable bits only differing. */
  readonly check?: (values: Uint8Array) => BadField | undefined;
  /** Puts values into force. */
  readonly apply?: (device: BlockDevice, values: Uint8Array) => void;
}

/** A page of zeroes with its header; `length` is the PAGE LENGTH. */
export function emptyPage(code: number, subpage: number, length: number): Uint8Array {
  if (subpage === 0) {
    const page = new Uint8Array(2 + length);
    page[0] = code;
    page[1] = length;
    return page;
  }
  const page = new Uint8Array(4 + length);
  page[0] = SPF | code;
  page[1] = subpage;
  putU16(page, 2, length);
  return page;
}

/** Bytes of the header of a page with this subpage code. */
export function headerLength(subpage: number): number {
  return subpage === 0 ? 2 : 4;
}
