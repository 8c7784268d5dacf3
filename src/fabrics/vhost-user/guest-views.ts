/**
 * Guest memory as the data path reads and writes it: by (region, offset), through views that are made once per
 * mapping. A request costs no view, no subarray, and no native call.
 */
import type { Region } from '../../native/memory.ts';
import type { SegmentList } from '../../scsi/segment-list.ts';

/** Windows of a region start at multiples of this, and reach twice as far: see RegionMemory. */
const WINDOW_STEP = 2 ** 30;

interface WindowViews {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
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

const NO_WINDOWS: readonly WindowViews[] = [];

export class GuestViews {
  /** By region id. */
  private readonly regions: (readonly WindowViews[])[] = [];
  /** Set by `words`. */
  wordIndex = 0;

  add(region: Region): void {
    this.regions[region.id] = region.windows.map((bytes) => ({
      bytes,
      words: new Uint32Array(bytes.buffer, 0, Math.floor(bytes.length / 4)),
    }));
  }

  /** Before the region is unmapped: a view of it would be empty then. */
  remove(region: Region): void {
    this.regions[region.id] = NO_WINDOWS;
  }

  /** 32-bit words that hold `offset` (a multiple of 4) at index `wordIndex`, and at least 1 GiB after it. */
  words(region: number, offset: number): Uint32Array {
    const windows = this.regions[region];
    const window = windowOf(windows, offset);
    this.wordIndex = (offset - window * WINDOW_STEP) / 4;
    return windows[window].words;
  }

  /** Copies the bytes of `segments`, which must fit, to byte `at` of `into`. */
  copyOut(segments: SegmentList, into: Staging, at = 0): void {
    const { regions, offsets, lengths, count } = segments;
    for (let i = 0; i < count; i++) {
      const length = lengths[i];
      this.copyPartOut(regions[i], offsets[i], into, at, length);
      at += length;
    }
  }

  /** Copies the first `length` bytes of `from` to `segments`, as far as these reach. */
  copyIn(segments: SegmentList, from: Staging, length: number): void {
    const { regions, offsets, lengths, count } = segments;
    let at = 0;
    for (let i = 0; i < count && at < length; i++) {
      const part = Math.min(lengths[i], length - at);
      this.copyPartIn(regions[i], offsets[i], from, at, part);
      at += part;
    }
  }

  private copyPartOut(region: number, offset: number, into: Staging, at: number, length: number): void {
    const windows = this.regions[region];
    const window = windowOf(windows, offset);
    const first = offset - window * WINDOW_STEP;
    let done = 0;
    // Drivers align what they make; word by word it costs a quarter.
    if (((first | at) & 3) === 0) {
      const { words } = windows[window];
      for (; done + 4 <= length; done += 4) into.words[(at + done) >>> 2] = words[(first + done) >>> 2];
    }
    const { bytes } = windows[window];
    for (; done < length; done++) into.bytes[at + done] = bytes[first + done];
  }

  private copyPartIn(region: number, offset: number, from: Staging, at: number, length: number): void {
    const windows = this.regions[region];
    const window = windowOf(windows, offset);
    const first = offset - window * WINDOW_STEP;
    let done = 0;
    if (((first | at) & 3) === 0) {
      const { words } = windows[window];
      for (; done + 4 <= length; done += 4) words[(first + done) >>> 2] = from.words[(at + done) >>> 2];
    }
    const { bytes } = windows[window];
    for (; done < length; done++) bytes[first + done] = from.bytes[at + done];
  }
}

/** The last window that starts at or before `offset`: it reaches furthest. */
function windowOf(windows: readonly unknown[], offset: number): number {
  return offset < WINDOW_STEP ? 0 : Math.min(Math.floor(offset / WINDOW_STEP), windows.length - 1);
}
