/** A task with what a request queue needs to answer it. Pooled by its queue. */
import { SegmentList } from '../../scsi/segment-list.ts';
import { Task } from '../../scsi/task.ts';
import type { Vring } from './vring.ts';

/** A request with longer lists is not pooled: a guest could make the pool of a large ring hold a lot of memory. */
const POOLED_SEGMENTS = 256;

export class ScsiRequest extends Task {
  /** The ring it came from, and its chain's head there. */
  vring: Vring | undefined = undefined;
  head = 0;
  /** Where the response header and the sense data go. */
  readonly response: SegmentList = new SegmentList(2);

  override reset(): void {
    super.reset();
    this.response.clear();
  }

  get poolable(): boolean {
    return Math.max(this.dataIn.lengths.length, this.dataOut.lengths.length) <= POOLED_SEGMENTS;
  }
}
