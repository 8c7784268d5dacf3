/**
 * How an address that the driver wrote becomes memory: by the memory table, or by an IOMMU's translations.
 *
 * Addresses travel as (chain, index), not as numbers: a number above 2^31 that is passed to a function is an
 * object on the heap, and this path is taken several times per request.
 */
import type { SegmentList } from '../../scsi/segment-list.ts';
import type { DescriptorChain } from './descriptor-chain.ts';

export interface AddressSpace {
  /**
   * Appends the memory of `length` bytes of buffer `index`, from its byte `skip` on, to `into`, in as many pieces
   * as it lies in. False when a byte of it is not there; `into` then holds a part, to be thrown away.
   */
  translate(chain: DescriptorChain, index: number, skip: number, length: number, into: SegmentList): boolean;
}
