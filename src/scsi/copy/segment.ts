/** Segment descriptors of EXTENDED COPY (SPC-4 6.4.6), decoded. LBAs and offsets are unchecked. */
import { u16, u32, u64 } from '../bytes.ts';
import { BlockToBlock, BlockWithOffset, SegmentHeader, SegmentType, VerifyCscd } from './copy-spec.ts';

/** How much of which blocks a segment copies. */
export interface Transfer {
  readonly sourceLba: number;
  readonly destinationLba: number;
  /** Bytes into the first block. */
  readonly sourceOffset: number;
  readonly destinationOffset: number;
  /** Bytes, or blocks of one of the two. */
  readonly length: number;
  readonly unit: 'bytes' | 'source blocks' | 'destination blocks';
}

export interface Segment {
  /** Indices of CSCD descriptors, or OWN_CSCD. */
  readonly source: number;
  readonly destination: number;
  /** Undefined for a segment that copies nothing and verifies that its source can be reached. */
  readonly transfer: Transfer | undefined;
  /** Verify CSCD: whether the source must be ready, too. */
  readonly mustBeReady: boolean;
}

type Parser = (list: Uint8Array, at: number) => Segment;

const PARSERS: ReadonlyMap<number, { readonly length: number; readonly parse: Parser }> = new Map([
  [SegmentType.BLOCK_TO_BLOCK.code, { length: SegmentType.BLOCK_TO_BLOCK.length, parse: parseBlocks }],
  [SegmentType.VERIFY_CSCD.code, { length: SegmentType.VERIFY_CSCD.length, parse: parseVerify }],
  [
    SegmentType.BLOCK_TO_BLOCK_WITH_OFFSET.code,
    { length: SegmentType.BLOCK_TO_BLOCK_WITH_OFFSET.length, parse: parseOffset },
  ],
]);

/** The segment at `at` and where the next one starts; what is wrong with it if it is none. */
export function parseSegment(
  list: Uint8Array,
  at: number,
  end: number,
): { readonly segment: Segment; readonly next: number } | 'unknown' | 'cut short' | 'wrong length' {
  const parser = PARSERS.get(list[at]);
  if (parser === undefined) return 'unknown';
  const next = at + SegmentHeader.LENGTH + parser.length;
  if (next > end) return 'cut short';
  if (u16(list, at + SegmentHeader.DESCRIPTOR_LENGTH) !== parser.length) return 'wrong length';
  return { segment: parser.parse(list, at), next };
}

function parseBlocks(list: Uint8Array, at: number): Segment {
  const byDestination = (list[at + SegmentHeader.FLAGS] & BlockToBlock.DC) !== 0;
  const transfer: Transfer = {
    sourceLba: u64(list, at + BlockToBlock.SOURCE_LBA),
    destinationLba: u64(list, at + BlockToBlock.DESTINATION_LBA),
    sourceOffset: 0,
    destinationOffset: 0,
    length: u16(list, at + BlockToBlock.BLOCKS),
    unit: byDestination ? 'destination blocks' : 'source blocks',
  };
  return { ...ends(list, at), transfer, mustBeReady: false };
}

function parseOffset(list: Uint8Array, at: number): Segment {
  const transfer: Transfer = {
    sourceLba: u64(list, at + BlockWithOffset.SOURCE_LBA),
    destinationLba: u64(list, at + BlockWithOffset.DESTINATION_LBA),
    sourceOffset: u16(list, at + BlockWithOffset.SOURCE_OFFSET),
    destinationOffset: u16(list, at + BlockWithOffset.DESTINATION_OFFSET),
    length: u32(list, at + BlockWithOffset.BYTES),
    unit: 'bytes',
  };
  return { ...ends(list, at), transfer, mustBeReady: false };
}

function parseVerify(list: Uint8Array, at: number): Segment {
  const mustBeReady = (list[at + VerifyCscd.FLAGS] & VerifyCscd.TUR) !== 0;
  return { ...ends(list, at), transfer: undefined, mustBeReady };
}

function ends(list: Uint8Array, at: number) {
  return {
    source: u16(list, at + SegmentHeader.SOURCE),
    destination: u16(list, at + SegmentHeader.DESTINATION),
  };
}
