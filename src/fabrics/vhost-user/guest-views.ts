/**
 * Guest memory as the data path reads and writes it: by (region, offset), through views that are made once per
 * mapping. A request costs no view, no subarray, and no native call.
 */
import type { SegmentList } from '../../scsi/segment-list.ts';

/** Windows of a region start at multiples of this, and reach twice as far: see RegionMemory. */
const WINDOW_STEP = 2 ** 30;

const NO_WORDS = new Uint32Array(0);
const NO_REGION = -1;

/** What is needed of a mapping: `Region` has it, and a test's plain array can. */
export interface ViewedRegion {
  readonly id: number;
  readonly windowCount: number;
  window(index: number): Uint8Array;
}

interface WindowViews {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

/** The views of a mapping, each made when it is first needed. */
class RegionViews {
  readonly region: ViewedRegion;
  private readonly windows: (WindowViews | undefined)[];
  private readonly lastWindow: number;

  constructor(region: ViewedRegion) {
    this.region = region;
    this.lastWindow = region.windowCount - 1;
    this.windows = new Array(region.windowCount).fill(undefined);
  }

  /** The last window that starts at or before `offset`: it reaches furthest. */
  indexOf(offset: number): number {
    return offset < WINDOW_STEP ? 0 : Math.min(Math.floor(offset / WINDOW_STEP), this.lastWindow);
  }

  window(index: number): WindowViews {
    return this.windows[index] ?? this.open(index);
  }

  private open(index: number): WindowViews {
    const bytes = this.region.window(index);
    const words = new Uint32Array(bytes.buffer, 0, Math.floor(bytes.length / 4));
    const views = { bytes, words };
    this.windows[index] = views;
    return views;
  }
}

/**
 * Byte `offset` of a region as a byte of the window at `index`: below 2^31, so an integer, which `| 0` tells the compiler.
 */
function within(offset: number, index: number): number {
  return (offset - index * WINDOW_STEP) | 0;
}

/** A small buffer of our own, for what is copied out of guest memory or into it. */
export class Staging {
  readonly bytes: Uint8Array;
  /** The same memory. */
  readonly words: Uint32Array;

  constructor(length: number) {
    this.words = new Uint32Array(Math.ceil(length / 4));
    this.bytes = new Uint8Array(this.words.buffer);
  }
}

/** Eight at a time, as V8 looks for interrupts in every round of a loop; `| 0` spares a check of each index. */
function copyWords(from: Uint32Array, fromAt: number, to: Uint32Array, toAt: number, count: number): void {
  let source = fromAt | 0;
  let target = toAt | 0;
  const end = (source + count) | 0;
  for (; ((source + 8) | 0) <= end; source = (source + 8) | 0, target = (target + 8) | 0) {
    to[target] = from[source];
    to[(target + 1) | 0] = from[(source + 1) | 0];
    to[(target + 2) | 0] = from[(source + 2) | 0];
    to[(target + 3) | 0] = from[(source + 3) | 0];
    to[(target + 4) | 0] = from[(source + 4) | 0];
    to[(target + 5) | 0] = from[(source + 5) | 0];
    to[(target + 6) | 0] = from[(source + 6) | 0];
    to[(target + 7) | 0] = from[(source + 7) | 0];
  }
  if ((count & 4) !== 0) {
    to[target] = from[source];
    to[(target + 1) | 0] = from[(source + 1) | 0];
    to[(target + 2) | 0] = from[(source + 2) | 0];
    to[(target + 3) | 0] = from[(source + 3) | 0];
    source = (source + 4) | 0;
    target = (target + 4) | 0;
  }
  for (; source < end; source = (source + 1) | 0, target = (target + 1) | 0) to[target] = from[source];
}

export class GuestViews {
  /** By region id. */
  private readonly regions: (RegionViews | undefined)[] = [];
  /** Set by `words`. */
  wordIndex = 0;
  /** The window that `words` found last, and the offsets of its region that it is the one for: most requests stay there. */
  private last: Uint32Array = NO_WORDS;
  private lastRegion = NO_REGION;
  private lastFrom = 0;
  private lastEnd = 0;

  add(region: ViewedRegion): void {
    this.regions[region.id] = new RegionViews(region);
  }

  /** Before the region is unmapped: a view of it would show zeroes then. */
  remove(region: ViewedRegion): void {
    this.regions[region.id] = undefined;
    this.last = NO_WORDS;
    this.lastRegion = NO_REGION;
  }

  /** 32-bit words that hold `offset` (a multiple of 4) at index `wordIndex`, and at least 1 GiB after it. */
  words(region: number, offset: number): Uint32Array {
    if (region !== this.lastRegion || offset < this.lastFrom || offset >= this.lastEnd) {
      this.find(region, offset);
    }
    this.wordIndex = ((offset - this.lastFrom) | 0) >>> 2;
    return this.last;
  }

  private find(region: number, offset: number): void {
    const views = this.regions[region]!;
    const index = views.indexOf(offset);
    this.last = views.window(index).words;
    this.lastRegion = region;
    this.lastFrom = index * WINDOW_STEP;
    this.lastEnd = this.lastFrom + WINDOW_STEP;
  }

  /**
   * Guest memory itself, as `words` has it, where the first `length` bytes of `segments` are one piece that starts with a
   * word; undefined where they are not. The word that holds the last byte is there, too.
   */
  wholeWords(segments: SegmentList, length: number): Uint32Array | undefined {
    const offset = segments.offsetAt(0);
    if (length > segments.lengthAt(0) || (offset & 3) !== 0) return undefined;
    const words = this.words(segments.regionAt(0), offset);
    return ((this.wordIndex + ((length + 3) >>> 2)) | 0) <= words.length ? words : undefined;
  }

  /**
   * Copies the bytes of `segments`, which must fit, to byte `at` of `into`. Up to three bytes after them may change: words
   * are copied where the driver aligned what it made.
   */
  copyOut(segments: SegmentList, into: Staging, at = 0): void {
    const { count } = segments;
    if (count === 1 && this.copyWordsOut(segments, into, at)) return;
    for (let i = 0; i < count; i++) {
      const length = segments.lengthAt(i) | 0;
      this.copyPartOut(segments.regionAt(i), segments.offsetAt(i), into, at, length);
      at += length;
    }
  }

  /** Copies the first `length` bytes of `from` to `segments`, as far as these reach. */
  copyIn(segments: SegmentList, from: Staging, length: number): void {
    let at = 0;
    for (let i = 0; i < segments.count && at < length; i++) {
      const part = Math.min(segments.lengthAt(i), length - at) | 0;
      this.copyPartIn(segments.regionAt(i), segments.offsetAt(i), from, at, part);
      at += part;
    }
  }

  /** The usual case: one piece, aligned. False where it is not, and nothing has been copied. */
  private copyWordsOut(segments: SegmentList, into: Staging, at: number): boolean {
    const length = segments.lengthAt(0) | 0;
    const words = (at & 3) === 0 ? this.wholeWords(segments, length) : undefined;
    if (words === undefined) return false;
    copyWords(words, this.wordIndex, into.words, at >>> 2, (length + 3) >>> 2);
    return true;
  }

  private copyPartOut(region: number, offset: number, into: Staging, at: number, length: number): void {
    const views = this.regions[region]!;
    const index = views.indexOf(offset);
    const first = within(offset, index);
    const { bytes, words } = views.window(index);
    // Drivers align what they make; word by word it costs a quarter.
    const done = ((first | at) & 3) === 0 ? length & ~3 : 0;
    copyWords(words, first >>> 2, into.words, at >>> 2, done >>> 2);
    const own = into.bytes;
    for (let i = done; i < length; i++) own[at + i] = bytes[first + i];
  }

  private copyPartIn(region: number, offset: number, from: Staging, at: number, length: number): void {
    const views = this.regions[region]!;
    const index = views.indexOf(offset);
    const first = within(offset, index);
    const { bytes, words } = views.window(index);
    const done = ((first | at) & 3) === 0 ? length & ~3 : 0;
    copyWords(from.words, at >>> 2, words, first >>> 2, done >>> 2);
    const own = from.bytes;
    for (let i = done; i < length; i++) bytes[first + i] = own[at + i];
  }
}
