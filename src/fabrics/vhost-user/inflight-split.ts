/**
 * In-flight tracking of one split ring: which chains were taken and not returned, in memory that the front-end
 * keeps when this process dies. The order of the stores is the whole point: after a kill -9 between any two of
 * them, `recover` finds every unfinished chain, and none that was finished.
 *
 * The front-end could have written anything there: whatever is read back is bounded before it is used.
 */
import { INFLIGHT_VERSION, SplitEntry, SplitRegion } from './inflight-spec.ts';
import { ProtocolError } from './protocol-error.ts';

const VERSION = SplitRegion.VERSION / 2;
const DESCRIPTOR_COUNT = SplitRegion.DESCRIPTOR_COUNT / 2;
const LAST_BATCH_HEAD = SplitRegion.LAST_BATCH_HEAD / 2;
const USED_INDEX = SplitRegion.USED_INDEX / 2;

export class InflightSplit {
  /** Bytes that a ring of `size` descriptors needs. */
  static byteLength(size: number): number {
    return SplitRegion.ENTRIES + size * SplitEntry.LENGTH;
  }

  private readonly size: number;
  private readonly bytes: Uint8Array;
  private readonly words: Uint16Array;
  private readonly doubleWords: Uint32Array;
  private counter = 1;
  /** Heads completed since the last commit. */
  private readonly batch: Uint16Array;
  private batchCount = 0;

  /** `offset` in `buffer`, a multiple of 8, for a ring of `size` descriptors. */
  constructor(buffer: ArrayBufferLike, offset: number, size: number) {
    const length = InflightSplit.byteLength(size);
    this.size = size;
    this.bytes = new Uint8Array(buffer, offset, length);
    this.words = new Uint16Array(buffer, offset, length / 2);
    this.doubleWords = new Uint32Array(buffer, offset, length / 4);
    this.batch = new Uint16Array(size);
  }

  /** A chain was taken from the avail ring. */
  take(head: number): void {
    const at = SplitRegion.ENTRIES + head * SplitEntry.LENGTH;
    const order = this.counter++;
    this.doubleWords[(at + SplitEntry.COUNTER) / 4] = order;
    this.doubleWords[(at + SplitEntry.COUNTER) / 4 + 1] = order / 2 ** 32;
    this.bytes[at + SplitEntry.INFLIGHT] = 1;
  }

  /** The last `take` is undone. */
  untake(head: number): void {
    this.clear(head);
  }

  /** Its used entry is written, but not shown to the driver yet. */
  complete(head: number): void {
    const { words } = this;
    words[(SplitRegion.ENTRIES + head * SplitEntry.LENGTH + SplitEntry.NEXT) / 2] = words[LAST_BATCH_HEAD];
    words[LAST_BATCH_HEAD] = head;
    this.batch[this.batchCount++] = head;
  }

  /** The driver can see all completed chains: `used.idx` is `usedIndex`. */
  commit(usedIndex: number): void {
    for (let i = 0; i < this.batchCount; i++) this.clear(this.batch[i]);
    this.batchCount = 0;
    this.words[USED_INDEX] = usedIndex;
  }

  /**
   * Heads to take again, oldest first, when a ring starts whose `used.idx` is `usedIndex`; prepares an untouched
   * buffer.
   */
  recover(usedIndex: number): number[] {
    const { words } = this;
    const version = words[VERSION];
    if (version === 0) {
      words[DESCRIPTOR_COUNT] = this.size;
      words[USED_INDEX] = usedIndex;
      words[VERSION] = INFLIGHT_VERSION;
    } else if (version !== INFLIGHT_VERSION) {
      throw new ProtocolError(`inflight buffer of version ${version}, expected ${INFLIGHT_VERSION}`);
    }
    this.finishLastBatch(usedIndex);
    const found: { head: number; order: number }[] = [];
    for (let head = 0; head < this.size; head++) {
      const at = SplitRegion.ENTRIES + head * SplitEntry.LENGTH;
      if (this.bytes[at + SplitEntry.INFLIGHT] === 0) continue;
      const low = this.doubleWords[(at + SplitEntry.COUNTER) / 4];
      const high = this.doubleWords[(at + SplitEntry.COUNTER) / 4 + 1];
      found.push({ head, order: high * 2 ** 32 + low });
    }
    found.sort((a, b) => a.order - b.order);
    const newest = found.at(-1)?.order ?? 0;
    this.counter = newest < 2 ** 52 ? newest + 1 : 1;
    return found.map(({ head }) => head);
  }

  /** The process died after `used.idx` moved and before the batch's marks were cleared. */
  private finishLastBatch(usedIndex: number): void {
    const { words } = this;
    const unfinished = (usedIndex - words[USED_INDEX]) & 0xffff;
    if (unfinished > this.size) {
      throw new ProtocolError(`inflight buffer is ${unfinished} entries behind a ring of ${this.size}`);
    }
    let head = words[LAST_BATCH_HEAD];
    for (let i = 0; i < unfinished; i++) {
      if (head >= this.size) throw new ProtocolError(`inflight buffer names descriptor ${head}`);
      this.clear(head);
      head = words[(SplitRegion.ENTRIES + head * SplitEntry.LENGTH + SplitEntry.NEXT) / 2];
    }
    words[USED_INDEX] = usedIndex;
  }

  private clear(head: number): void {
    this.bytes[SplitRegion.ENTRIES + head * SplitEntry.LENGTH + SplitEntry.INFLIGHT] = 0;
  }
}
