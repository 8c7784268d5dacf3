/**
 * A log page (SPC-4 7.3): one row per page.
 *
 *   0  DS 7, SPF 6, PAGE CODE 5-0      parameter:  0  PARAMETER CODE (two bytes)
 *   1  SUBPAGE CODE                                2  control byte
 *   2  PAGE LENGTH (two bytes)                     3  PARAMETER LENGTH
 *   4  parameters                                  4  value
 */
import type { BlockDevice } from '../block-device.ts';
import { concatenate, putU16, putU64 } from '../bytes.ts';

/** Nothing of the log is saved. */
const DS = 0x80;
const SPF = 0x40;
/** FORMAT AND LINKING of the control byte (SPC-4 7.3.2.2.2). */
const BOUNDED_COUNTER = 0x00;
const BINARY_LIST = 0x03;
const PARAMETER_HEADER = 4;

export interface LogParameter {
  readonly code: number;
  readonly control: number;
  readonly value: Uint8Array;
}

export interface LogPage {
  readonly code: number;
  readonly subpage: number;
  /** The standard's name. */
  readonly name: string;
  /** Absent: every device has the page. */
  readonly supported?: (device: BlockDevice) => boolean;
  /** In ascending order of their codes. */
  readonly parameters: (device: BlockDevice, counts: Float64Array) => LogParameter[];
  /** Whether LOG SELECT can set its counters to 0; then `counts` are those since. */
  readonly clearable?: boolean;
}

/** A counter of 64 bits. */
export function counter(code: number, value: number): LogParameter {
  const bytes = new Uint8Array(8);
  putU64(bytes, 0, value);
  return { code, control: BOUNDED_COUNTER, value: bytes };
}

/** A parameter that is a structure of its own. */
export function binaryList(code: number, value: Uint8Array): LogParameter {
  return { code, control: BINARY_LIST, value };
}

/** A whole page around `body`. */
export function logPage(code: number, subpage: number, body: Uint8Array): Uint8Array {
  const page = new Uint8Array(4 + body.length);
  page[0] = DS | (subpage === 0 ? 0 : SPF) | code;
  page[1] = subpage;
  putU16(page, 2, body.length);
  page.set(body, 4);
  return page;
}

export function formatParameters(parameters: readonly LogParameter[]): Uint8Array {
  return concatenate(
    parameters.map(({ code, control, value }) => {
      const bytes = new Uint8Array(PARAMETER_HEADER + value.length);
      putU16(bytes, 0, code);
      bytes[2] = control;
      bytes[3] = value.length;
      bytes.set(value, PARAMETER_HEADER);
      return bytes;
    }),
  );
}
