/** First-fit allocation of guest-physical ranges. All numbers in bytes. */

interface Range {
  start: number;
  end: number;
}

export class FreeList {
  /** Sorted, never adjacent to each other within one region. */
  private readonly free: Range[];
  private readonly allocated = new Map<number, number>();

  constructor(ranges: readonly { readonly start: number; readonly end: number }[]) {
    this.free = ranges.map(({ start, end }) => ({ start, end }));
  }

  /** Throws a RangeError when no free range is large enough. */
  allocate(length: number, alignment: number): number {
    for (let i = 0; i < this.free.length; i++) {
      const range = this.free[i];
      const start = Math.ceil(range.start / alignment) * alignment;
      const end = start + length;
      if (end > range.end) continue;
      const remains = [
        { start: range.start, end: start },
        { start: end, end: range.end },
      ].filter((part) => part.end > part.start);
      this.free.splice(i, 1, ...remains);
      this.allocated.set(start, end);
      return start;
    }
    throw new RangeError(`guest memory has no ${length} free bytes`);
  }

  /** Gives back what `allocate` returned. */
  release(start: number): void {
    const end = this.allocated.get(start);
    if (end === undefined) throw new RangeError(`0x${start.toString(16)} was not allocated`);
    this.allocated.delete(start);
    let at = this.free.findIndex((range) => range.start > start);
    if (at < 0) at = this.free.length;
    this.free.splice(at, 0, { start, end });
    this.joinNext(at);
    if (at > 0) this.joinNext(at - 1);
  }

  /** Joins range `at` with the next one where they touch. */
  private joinNext(at: number): void {
    const next = this.free[at + 1];
    if (next === undefined || next.start !== this.free[at].end) return;
    this.free[at].end = next.end;
    this.free.splice(at + 1, 1);
  }
}
