/** The parameter list of EXTENDED COPY(LID1) (SPC-4 6.4.3), decoded; nothing is copied while any of it is wrong. */
import { u16, u32 } from '../bytes.ts';
import type { FieldPointer } from '../sense.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { CopyLimit, CopyList, CscdDescriptor, ListIdUsage, SegmentHeader } from './copy-spec.ts';
import { type CscdName, parseCscd } from './cscd.ts';
import { parseSegment, type Segment } from './segment.ts';

export interface CopyRequest {
  /** Undefined when the initiator will not ask for the outcome (LIST ID USAGE 11b). */
  readonly listId: number | undefined;
  readonly cscds: readonly CscdName[];
  readonly segments: readonly Segment[];
}

export interface ListFault {
  readonly code: SenseCode;
  readonly field?: FieldPointer;
}

const USAGE = 0x18;
const USAGE_SHIFT = 3;

export function parseCopyList(list: Uint8Array): CopyRequest | ListFault {
  if (list.length < CopyList.HEADER_LENGTH) return { code: Sense.PARAMETER_LIST_LENGTH_ERROR };
  const cscdLength = u16(list, CopyList.CSCD_LIST_LENGTH);
  const segmentLength = u32(list, CopyList.SEGMENT_LIST_LENGTH);
  const inlineLength = u32(list, CopyList.INLINE_DATA_LENGTH);
  const descriptors = cscdLength + segmentLength;
  // Inline data is for segments that write to streams; there is none of them here.
  if (inlineLength > 0) return fault(Sense.INLINE_DATA_LENGTH_EXCEEDED, CopyList.INLINE_DATA_LENGTH);
  if (descriptors > CopyLimit.DESCRIPTOR_LIST || CopyList.HEADER_LENGTH + descriptors > list.length) {
    return { code: Sense.PARAMETER_LIST_LENGTH_ERROR };
  }
  const listId = list[CopyList.LIST_IDENTIFIER];
  const usage = (list[CopyList.FLAGS] & USAGE) >> USAGE_SHIFT;
  if (usage === ListIdUsage.RESERVED) return invalid(CopyList.FLAGS, 4);
  if (usage === ListIdUsage.NONE && listId !== 0) return invalid(CopyList.LIST_IDENTIFIER);

  const cscds = parseCscds(list, cscdLength);
  if (!Array.isArray(cscds)) return cscds;
  const segments = parseSegments(list, CopyList.HEADER_LENGTH + cscdLength, segmentLength);
  if (!Array.isArray(segments)) return segments;
  return { listId: usage === ListIdUsage.NONE ? undefined : listId, cscds, segments };
}

function parseCscds(list: Uint8Array, length: number): CscdName[] | ListFault {
  if (length % CscdDescriptor.LENGTH !== 0) return invalid(CopyList.CSCD_LIST_LENGTH);
  const cscds: CscdName[] = [];
  const end = CopyList.HEADER_LENGTH + length;
  for (let at: number = CopyList.HEADER_LENGTH; at < end; at += CscdDescriptor.LENGTH) {
    if (cscds.length === CopyLimit.CSCDS) {
      return fault(Sense.TOO_MANY_TARGET_DESCRIPTORS, CopyList.CSCD_LIST_LENGTH);
    }
    if (list[at] !== CscdDescriptor.IDENTIFICATION) {
      return fault(Sense.UNSUPPORTED_TARGET_DESCRIPTOR_TYPE_CODE, at);
    }
    if (list[at + CscdDescriptor.DESIGNATOR_LENGTH] > CscdDescriptor.LENGTH - 12) {
      return invalid(at + CscdDescriptor.DESIGNATOR_LENGTH);
    }
    cscds.push(parseCscd(list, at));
  }
  return cscds;
}

function parseSegments(list: Uint8Array, start: number, length: number): Segment[] | ListFault {
  const segments: Segment[] = [];
  const end = start + length;
  for (let at = start; at < end; ) {
    if (segments.length === CopyLimit.SEGMENTS) {
      return fault(Sense.TOO_MANY_SEGMENT_DESCRIPTORS, CopyList.SEGMENT_LIST_LENGTH);
    }
    const parsed = parseSegment(list, at, end);
    if (parsed === 'unknown') return fault(Sense.UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE, at);
    if (parsed === 'cut short') return { code: Sense.PARAMETER_LIST_LENGTH_ERROR };
    if (parsed === 'wrong length') return invalid(at + SegmentHeader.DESCRIPTOR_LENGTH);
    segments.push(parsed.segment);
    at = parsed.next;
  }
  return segments;
}

function fault(code: SenseCode, byte: number): ListFault {
  return { code, field: { inCdb: false, byte } };
}

function invalid(byte: number, bit?: number): ListFault {
  const field = bit === undefined ? { inCdb: false, byte } : { inCdb: false, byte, bit };
  return { code: Sense.INVALID_FIELD_IN_PARAMETER_LIST, field };
}
