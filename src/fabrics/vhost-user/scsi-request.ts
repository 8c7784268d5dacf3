/** A task with what a request queue needs to answer it. Pooled by its queue. */
import { SegmentList } from '../../scsi/segment-list.ts';
import { MAX_CDB_LENGTH, Task, type TaskOwner } from '../../scsi/task.ts';
import { Staging } from './guest-views.ts';
import { PiRequestHeader } from './virtio-scsi-spec.ts';
import type { Vring } from './vring.ts';

/** Bytes before the CDB in its first word, in both headers. */
const CDB_PHASE = PiRequestHeader.CDB % 4;
/** Words that hold the CDBs of all commands but those of the groups for longer ones. */
const SHORT_CDB_WORDS = wordsOf(16);
/** The opcode ends the first word, and begins with the group code (SPC-4 4.2.5.1). */
const GROUP_SHIFT = 29;
/** Groups 0 to 2 have 6 and 10 bytes; 3 is extended and variable, 6 and 7 are vendor specific. */
const VARIABLE_GROUP = 3;
const GROUP_16 = 4;
const GROUP_12 = 5;

/** Words that hold a CDB of `length` bytes. */
function wordsOf(length: number): number {
  return (CDB_PHASE + length + 3) >>> 2;
}

export class ScsiRequest extends Task {
  /** The ring it came from, and its chain's head there. */
  vring: Vring | undefined = undefined;
  head = 0;
  /** Lists grow to the segments that they hold: while this was true of all its requests, none of this one's is long. */
  poolable = true;
  /** Where the response header and the sense data go. */
  readonly response: SegmentList = new SegmentList(2);
  /** Words of which the CDB starts at byte `CDB_PHASE`, as in the request header: so it is copied by words. */
  private readonly cdbWords: Uint32Array;

  constructor(owner: TaskOwner) {
    const { bytes, words } = new Staging(CDB_PHASE + MAX_CDB_LENGTH);
    super(owner, bytes.subarray(CDB_PHASE, CDB_PHASE + MAX_CDB_LENGTH));
    this.cdbWords = words;
  }

  override reset(): void {
    super.reset();
    this.response.clear();
  }

  /** Copies the CDB of a field of `size` bytes, which starts within word `from` of `words`. */
  takeCdb(words: Uint32Array, from: number, size: number): void {
    const { cdbWords } = this;
    const count = wordsOf(size);
    this.cdbLength = size;
    let done = 0;
    if (count >= SHORT_CDB_WORDS) {
      cdbWords[0] = words[from];
      cdbWords[1] = words[(from + 1) | 0];
      cdbWords[2] = words[(from + 2) | 0];
      cdbWords[3] = words[(from + 3) | 0];
      cdbWords[4] = words[(from + 4) | 0];
      const group = cdbWords[0] >>> GROUP_SHIFT;
      if (group < VARIABLE_GROUP || group === GROUP_12 || group === GROUP_16) return;
      done = SHORT_CDB_WORDS;
    }
    for (; done < count; done++) cdbWords[done] = words[from + done];
  }
}
