/** How an address that the driver wrote becomes memory: by the memory table, or by an IOMMU's translations. */
import type { SegmentList } from '../../scsi/segment-list.ts';

export interface AddressSpace {
  /**
   * Appends the memory of `length` bytes from `address` to `into`, in as many pieces as it lies in. False when
   * a byte of it is not there; `into` then holds a part, to be thrown away.
   */
  translate(address: number, length: number, into: SegmentList): boolean;
}
