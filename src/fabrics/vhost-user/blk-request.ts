/** A block request with what a queue needs to answer it. Pooled by its queue. */
import { SegmentList } from '../../scsi/segment-list.ts';
import type { BlockRequest } from '../loopback/block-request.ts';
import type { Vring } from './vring.ts';

/** A request with longer lists is not pooled: a guest could make the pool of a large ring hold a lot of memory. */
const POOLED_SEGMENTS = 256;

export class BlkRequest {
  /** The disk's side of it; it has the data. */
  readonly block: BlockRequest;
  /** Where the byte of status goes. */
  readonly status = new SegmentList(1);
  /** The ring it came from, and its chain's head there. */
  vring: Vring | undefined = undefined;
  head = 0;
  /** Bytes of data that the guest gets. */
  bytesIn = 0;
  /** Ranges of DISCARD and WRITE ZEROES that are still to be done, and where they start in `ranges`. */
  rangesLeft = 0;
  nextRange = 0;
  /** What the driver sent as ranges; made when it is first needed. */
  ranges: Uint8Array | undefined = undefined;
  next: BlkRequest | undefined = undefined;
  previous: BlkRequest | undefined = undefined;

  constructor(block: BlockRequest) {
    this.block = block;
    block.context = this;
  }

  get poolable(): boolean {
    return this.block.data.capacity <= POOLED_SEGMENTS;
  }
}
