/**
 * A first-in first-out queue of operations for which the io engine has no room yet. A ring of parallel arrays
 * that grows to the longest queue seen, so that adding allocates nothing later.
 */
import { IoKind } from './engine-spec.ts';
import type { IoOwner } from './io-engine.ts';
import type { Segments } from './segments.ts';

const INITIAL = 8;

export class WaitingOperations {
  kinds: IoKind[] = new Array(INITIAL).fill(IoKind.CANCELLED);
  files = new Float64Array(INITIAL);
  flags = new Float64Array(INITIAL);
  offsets = new Float64Array(INITIAL);
  lengths = new Float64Array(INITIAL);
  segments: (Segments | undefined)[] = new Array(INITIAL).fill(undefined);
  segmentsOffsets = new Float64Array(INITIAL);
  owners: (IoOwner | undefined)[] = new Array(INITIAL).fill(undefined);
  /** Index of the oldest. */
  first = 0;
  count = 0;

  add(
    kind: IoKind,
    file: number,
    flags: number,
    offset: number,
    length: number,
    segments: Segments | undefined,
    segmentsOffset: number,
    owner: IoOwner,
  ): void {
    if (this.count === this.owners.length) this.grow();
    const at = this.index(this.count++);
    this.kinds[at] = kind;
    this.files[at] = file;
    this.flags[at] = flags;
    this.offsets[at] = offset;
    this.lengths[at] = length;
    this.segments[at] = segments;
    this.segmentsOffsets[at] = segmentsOffset;
    this.owners[at] = owner;
  }

  removeFirst(): void {
    this.segments[this.first] = undefined;
    this.owners[this.first] = undefined;
    this.first = this.index(1);
    this.count--;
  }

  /** They keep their place, and complete with -ECANCELED when their turn comes. */
  cancel(owner: IoOwner): void {
    for (let i = 0; i < this.count; i++) {
      const at = this.index(i);
      if (this.owners[at] !== owner) continue;
      this.kinds[at] = IoKind.CANCELLED;
      this.segments[at] = undefined;
    }
  }

  private index(position: number): number {
    const at = this.first + position;
    return at < this.owners.length ? at : at - this.owners.length;
  }

  private grow(): void {
    const old = this.owners.length;
    const order = Array.from({ length: old }, (_, i) => this.index(i));
    const numbers = (from: Float64Array) => {
      const to = new Float64Array(2 * old);
      for (let i = 0; i < old; i++) to[i] = from[order[i]];
      return to;
    };
    const objects = <T>(from: T[], none: T) => {
      const to = new Array<T>(2 * old).fill(none);
      for (let i = 0; i < old; i++) to[i] = from[order[i]];
      return to;
    };
    this.kinds = objects<IoKind>(this.kinds, IoKind.CANCELLED);
    this.files = numbers(this.files);
    this.flags = numbers(this.flags);
    this.offsets = numbers(this.offsets);
    this.lengths = numbers(this.lengths);
    this.segments = objects<Segments | undefined>(this.segments, undefined);
    this.segmentsOffsets = numbers(this.segmentsOffsets);
    this.owners = objects<IoOwner | undefined>(this.owners, undefined);
    this.first = 0;
  }
}
