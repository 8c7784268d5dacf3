/** The parameter lists of POPULATE TOKEN and WRITE USING TOKEN (SBC-4 5.12.2, 5.59.2), decoded and checked. */
import type { BlockDevice } from '../block-device.ts';
import { u16, u32, u64 } from '../bytes.ts';
import { Sense } from '../sense-spec.ts';
import type { ListFault } from './copy-list.ts';
import { PopulateList, RangeDescriptor, RodType, Token, TokenLimit, WriteList } from './rod-token-spec.ts';
import type { BlockRange } from './rod-tokens.ts';

/** The type of token that is made for each that may be asked for. */
const MADE_FOR: ReadonlyMap<number, number> = new Map([
  [RodType.POINT_IN_TIME_DEFAULT, RodType.POINT_IN_TIME_DEFAULT],
  [RodType.POINT_IN_TIME_CHANGE_VULNERABLE, RodType.POINT_IN_TIME_CHANGE_VULNERABLE],
  [RodType.POINT_IN_TIME_ANY, RodType.POINT_IN_TIME_CHANGE_VULNERABLE],
]);

export interface PopulateRequest {
  readonly ranges: readonly BlockRange[];
  /** Of the token to be made. */
  readonly rodType: number;
  /** Seconds. */
  readonly timeout: number;
}

export interface WriteRequest {
  readonly ranges: readonly BlockRange[];
  readonly token: Uint8Array;
  /** Blocks of the unit that is written. */
  readonly offset: number;
  readonly deleteToken: boolean;
}

export function parsePopulateList(list: Uint8Array, device: BlockDevice): PopulateRequest | ListFault {
  if (list.length < PopulateList.HEADER_LENGTH) return { code: Sense.PARAMETER_LIST_LENGTH_ERROR };
  const timeout = u32(list, PopulateList.INACTIVITY_TIMEOUT);
  if (timeout > TokenLimit.MAXIMUM_TIMEOUT) return invalid(PopulateList.INACTIVITY_TIMEOUT);
  const isTypeValid = (list[PopulateList.FLAGS] & PopulateList.RTV) !== 0;
  const asked = isTypeValid ? u32(list, PopulateList.ROD_TYPE) : RodType.POINT_IN_TIME_ANY;
  const rodType = MADE_FOR.get(asked);
  if (rodType === undefined) return invalid(PopulateList.ROD_TYPE);
  const ranges = parseRanges(list, PopulateList, device);
  if (!Array.isArray(ranges)) return ranges;
  return { ranges, rodType, timeout: timeout || TokenLimit.DEFAULT_TIMEOUT };
}

export function parseWriteList(list: Uint8Array, device: BlockDevice): WriteRequest | ListFault {
  // Too short for the field that says how long it is: nothing in it can be right.
  if (list.length < WriteList.HEADER_LENGTH) return invalid(WriteList.DATA_LENGTH);
  const ranges = parseRanges(list, WriteList, device);
  if (!Array.isArray(ranges)) return ranges;
  if (u16(list, WriteList.TOKEN + Token.TOKEN_LENGTH) !== Token.LENGTH - Token.HEADER) {
    return { code: Sense.INVALID_TOKEN_LENGTH };
  }
  return {
    ranges,
    token: list.slice(WriteList.TOKEN, WriteList.TOKEN + Token.LENGTH),
    offset: u64(list, WriteList.OFFSET),
    deleteToken: (list[WriteList.FLAGS] & WriteList.DEL_TKN) !== 0,
  };
}

interface ListLayout {
  readonly HEADER_LENGTH: number;
  readonly DATA_LENGTH: number;
  readonly MINIMUM_DATA_LENGTH: number;
  readonly RANGES_LENGTH: number;
}

/** At least one range, no block twice, all of them on the unit. A descriptor that is cut short is ignored. */
function parseRanges(list: Uint8Array, layout: ListLayout, device: BlockDevice): BlockRange[] | ListFault {
  if (u16(list, layout.DATA_LENGTH) < layout.MINIMUM_DATA_LENGTH) return invalid(layout.DATA_LENGTH);
  const length = u16(list, layout.RANGES_LENGTH);
  if (length < RangeDescriptor.LENGTH) return invalid(layout.RANGES_LENGTH);
  const count = Math.floor(Math.min(length, list.length - layout.HEADER_LENGTH) / RangeDescriptor.LENGTH);
  if (count > TokenLimit.RANGES) {
    const field = { inCdb: false, byte: layout.RANGES_LENGTH };
    return { code: Sense.TOO_MANY_SEGMENT_DESCRIPTORS, field };
  }
  const end = layout.HEADER_LENGTH + count * RangeDescriptor.LENGTH;
  const ranges: BlockRange[] = [];
  let total = 0;
  for (let at = layout.HEADER_LENGTH; at < end; at += RangeDescriptor.LENGTH) {
    const range = {
      lba: u64(list, at + RangeDescriptor.LBA),
      blocks: u32(list, at + RangeDescriptor.BLOCKS),
    };
    if (range.lba + range.blocks > device.blockCount) {
      const field = { inCdb: false, byte: at + RangeDescriptor.LBA };
      return { code: Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE, field };
    }
    total += range.blocks;
    if (total * device.blockSize > TokenLimit.BYTES) return invalid(at + RangeDescriptor.BLOCKS);
    if (ranges.some((other) => overlap(range, other))) return invalid(at + RangeDescriptor.LBA);
    if (range.blocks > 0) ranges.push(range);
  }
  return ranges;
}

function overlap(a: BlockRange, b: BlockRange): boolean {
  return a.lba < b.lba + b.blocks && b.lba < a.lba + a.blocks;
}

function invalid(byte: number): ListFault {
  return { code: Sense.INVALID_FIELD_IN_PARAMETER_LIST, field: { inCdb: false, byte } };
}
