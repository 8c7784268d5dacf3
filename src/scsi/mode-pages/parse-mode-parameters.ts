/**
 * Reads the parameter list of MODE SELECT (SPC-4 7.5): everything is checked before anything changes. What is
 * wrong is a value, so that this file knows neither task nor sense data.
 */
import type { BlockDevice } from '../block-device.ts';
import { u16, u24, u32, u64 } from '../bytes.ts';
import { type BadField, headerLength, PAGE_CODE, SPF } from './mode-page.ts';
import {
  HEADER_LENGTH_6,
  LONG_DESCRIPTOR_LENGTH,
  LONGLBA,
  SHORT_DESCRIPTOR_LENGTH,
  TOO_MANY_BLOCKS,
} from './mode-parameter-list.ts';
import { type ModeChange, PageControl } from './mode-parameters.ts';

/** PARAMETER LIST LENGTH ERROR: the list ends inside a header, descriptor or page. */
export const TRUNCATED = 'truncated';

export type ListError = typeof TRUNCATED | BadField;

export type ParsedList = { readonly changes: readonly ModeChange[] } | { readonly error: ListError };

interface ListHeader {
  /** Byte of the MEDIUM TYPE field. */
  readonly mediumType: number;
  /** Byte of the BLOCK DESCRIPTOR LENGTH field. */
  readonly lengthField: number;
  /** Bytes. */
  readonly descriptorLength: number;
  readonly long: boolean;
}

/** `listHeaderLength` is 4 for MODE SELECT(6) and 8 for MODE SELECT(10). */
export function parseModeParameters(
  device: BlockDevice,
  list: Uint8Array,
  listHeaderLength: number,
): ParsedList {
  if (list.length < listHeaderLength) return { error: TRUNCATED };
  const header = listHeaderLength === HEADER_LENGTH_6 ? header6(list) : header10(list);
  const error = descriptorError(device, list, header, listHeaderLength);
  if (error !== undefined) return { error };
  const changes: ModeChange[] = [];
  let at = listHeaderLength + header.descriptorLength;
  while (at < list.length) {
    const change = parsePage(device, list, at);
    if ('error' in change) return change;
    changes.push(change);
    at += change.values.length;
  }
  return { changes };
}

function header6(list: Uint8Array): ListHeader {
  return { mediumType: 1, lengthField: 3, descriptorLength: list[3], long: false };
}

function header10(list: Uint8Array): ListHeader {
  return {
    mediumType: 2,
    lengthField: 6,
    descriptorLength: u16(list, 6),
    long: (list[4] & LONGLBA) !== 0,
  };
}

/** Only the medium type, capacity and block length that the device has may be asked for. */
function descriptorError(
  device: BlockDevice,
  list: Uint8Array,
  header: ListHeader,
  at: number,
): ListError | undefined {
  if (list[header.mediumType] !== 0) return { byte: header.mediumType };
  const { descriptorLength, long } = header;
  if (descriptorLength === 0) return undefined;
  if (descriptorLength !== (long ? LONG_DESCRIPTOR_LENGTH : SHORT_DESCRIPTOR_LENGTH)) {
    return { byte: header.lengthField };
  }
  if (list.length < at + descriptorLength) return TRUNCATED;
  const blocks = long ? u64(list, at) : u32(list, at);
  // 0 keeps the capacity, all ones ask for the whole of it (SBC-3 6.4.2.2); both are what there is.
  const allOnes = long ? blocks >= 2 ** 64 : blocks === TOO_MANY_BLOCKS;
  if (blocks !== 0 && !allOnes && blocks !== device.blockCount) return { byte: at };
  const blockLength = long ? u32(list, at + 12) : u24(list, at + 5);
  if (blockLength !== device.blockSize) return { byte: at + (long ? 12 : 5) };
  return undefined;
}

function parsePage(
  device: BlockDevice,
  list: Uint8Array,
  at: number,
): ModeChange | { readonly error: ListError } {
  const { modeParameters } = device;
  const long = (list[at] & SPF) !== 0;
  if (list.length < at + (long ? 4 : 2)) return { error: TRUNCATED };
  const code = list[at] & PAGE_CODE;
  const page = modeParameters.find(code, long ? list[at + 1] : 0);
  // "All pages" (3Fh) is for MODE SENSE alone: no page has that code.
  if (page === undefined) {
    return { error: long && modeParameters.find(code, 0) ? { byte: at + 1 } : { byte: at, bit: 5 } };
  }
  const current = modeParameters.values(page, PageControl.CURRENT);
  const header = headerLength(page.subpage);
  const length = header + (long ? u16(list, at + 2) : list[at + 1]);
  if (length !== current.length) return { error: { byte: at + (long ? 2 : 1) } };
  if (list.length < at + length) return { error: TRUNCATED };
  const values = list.slice(at, at + length);
  const wrong = unchangeableField(
    current,
    values,
    modeParameters.values(page, PageControl.CHANGEABLE),
    header,
  );
  const bad = wrong ?? page.check?.(values);
  if (bad !== undefined) return { error: { ...bad, byte: at + bad.byte } };
  return { page, values };
}

/** The first bit that differs from its current value and may not. */
function unchangeableField(
  current: Uint8Array,
  values: Uint8Array,
  changeable: Uint8Array,
  from: number,
): BadField | undefined {
  for (let i = from; i < values.length; i++) {
    const forbidden = (values[i] ^ current[i]) & ~changeable[i];
    if (forbidden !== 0) return { byte: i, bit: 31 - Math.clz32(forbidden) };
  }
  return undefined;
}
