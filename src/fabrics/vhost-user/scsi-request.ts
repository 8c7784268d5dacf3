/** A task with what a request queue needs to answer it. Pooled by its queue. */
import { SegmentList } from '../../scsi/segment-list.ts';
import { MAX_CDB_LENGTH, Task, type TaskOwner } from '../../scsi/task.ts';
import { Staging } from './guest-views.ts';
import { PiRequestHeader } from './virtio-scsi-spec.ts';
import type { Vring } from './vring.ts';

/** A request with longer lists, all together, is not pooled: a guest could make the pool of a large ring hold a lot of memory. */
const POOLED_SEGMENTS = 256;

export class ScsiRequest extends Task {
  /**
   * Our copy of the request header, placed so that the CDB, which ends it, starts at byte `PiRequestHeader.CDB`:
   * there it is the task's CDB already. The shorter header starts 8 bytes in, so both are copied by words.
   */
  readonly header: Staging;
  /** The ring it came from, and its chain's head there. */
  vring: Vring | undefined = undefined;
  head = 0;
  /** Where the response header and the sense data go. */
  readonly response: SegmentList = new SegmentList(2);

  constructor(owner: TaskOwner) {
    const header = new Staging(PiRequestHeader.CDB + MAX_CDB_LENGTH);
    super(owner, header.bytes.subarray(PiRequestHeader.CDB, PiRequestHeader.CDB + MAX_CDB_LENGTH));
    this.header = header;
  }

  override reset(): void {
    super.reset();
    this.response.clear();
  }

  /** A list grows to the segments it holds, so while this was true of all its requests, no list is longer. */
  get poolable(): boolean {
    const { dataIn, dataOut, protectionIn, protectionOut } = this;
    return dataIn.count + dataOut.count + protectionIn.count + protectionOut.count <= POOLED_SEGMENTS;
  }
}
