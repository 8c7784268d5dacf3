/**
 * Cuts a chain's buffers into a header and data, however the driver laid them out: a header may be split over
 * descriptors, and a descriptor may hold header and data (virtio 1.2, 2.7.4.2: no assumption on the layout).
 */
import type { SegmentList } from '../../scsi/segment-list.ts';
import type { AddressSpace } from './address-space.ts';
import type { DescriptorChain } from './descriptor-chain.ts';

export const Cut = {
  WHOLE: 0,
  /** The header is too short, or not in memory. */
  NO_HEADER: 1,
  /** Some of the data is not in memory. */
  NO_DATA: 2,
} as const;
export type Cut = (typeof Cut)[keyof typeof Cut];
const { WHOLE, NO_HEADER, NO_DATA } = Cut;

/** Cuts the buffers a device reads; `headerLength` in bytes. Appends to `header` and `data`. */
export function cutReadable(
  chain: DescriptorChain,
  headerLength: number,
  space: AddressSpace,
  header: SegmentList,
  data: SegmentList,
): Cut {
  return cut(chain, 0, chain.readable, headerLength, space, header, data);
}

/** Cuts the buffers a device writes. */
export function cutWritable(
  chain: DescriptorChain,
  headerLength: number,
  space: AddressSpace,
  header: SegmentList,
  data: SegmentList,
): Cut {
  return cut(chain, chain.readable, chain.count, headerLength, space, header, data);
}

/**
 * Cuts the last byte that a device writes, the status of a block request, from the data before it. Appends to `data` and
 * `status`; `NO_HEADER` when there is no such byte.
 */
export function cutStatus(
  chain: DescriptorChain,
  space: AddressSpace,
  data: SegmentList,
  status: SegmentList,
): Cut {
  const { readable } = chain;
  let last = chain.count - 1;
  while (last >= readable && chain.lengthAt(last) === 0) last--;
  if (last < readable || !space.translate(chain, last, chain.lengthAt(last) - 1, 1, status)) return NO_HEADER;
  for (let i = readable; i <= last; i++) {
    const length = i === last ? chain.lengthAt(i) - 1 : chain.lengthAt(i);
    if (length > 0 && !space.translate(chain, i, 0, length, data)) return NO_DATA;
  }
  return WHOLE;
}

function cut(
  chain: DescriptorChain,
  first: number,
  end: number,
  headerLength: number,
  space: AddressSpace,
  header: SegmentList,
  data: SegmentList,
): Cut {
  let result: Cut = WHOLE;
  let i = first;
  if (i < end && chain.lengthAt(i) === headerLength) {
    // As all drivers do it: a buffer for the header alone, and after it no data or one piece, without a loop.
    if (!space.translate(chain, i, 0, headerLength, header)) return NO_HEADER;
    if (++i === end) return WHOLE;
    if (!space.translate(chain, i, 0, chain.lengthAt(i), data)) result = NO_DATA;
    i++;
  } else {
    for (let missing = headerLength; missing > 0; i++) {
      if (i === end) return NO_HEADER;
      const length = chain.lengthAt(i);
      const part = Math.min(missing, length);
      if (!space.translate(chain, i, 0, part, header)) return NO_HEADER;
      missing -= part;
      if (length > part && !space.translate(chain, i, part, length - part, data)) result = NO_DATA;
    }
  }
  for (; i < end; i++) if (!space.translate(chain, i, 0, chain.lengthAt(i), data)) result = NO_DATA;
  return result;
}
