/**
 * Buffers of our own that can be named to the io engine like a guest's: pieces of anonymous regions, page-aligned
 * as O_DIRECT wants them, in sizes of powers of two, kept for reuse.
 */
import type { Region, RegionMemory } from './memory.ts';

export interface Scratch {
  /** Region id. */
  readonly region: number;
  readonly offset: number;
  /** Bytes, as asked for. */
  readonly length: number;
  /** Exactly the buffer: `length` bytes. */
  readonly bytes: Uint8Array;
}

const SMALLEST = 4096;
/** Bigger buffers are mapped each for itself, and unmapped on release. */
const BIGGEST = 2 ** 20;
/** Bytes mapped at once for buffers of one size. */
const CHUNK = BIGGEST;

class PooledScratch implements Scratch {
  readonly region: number;
  readonly offset: number;
  readonly free: PooledScratch[];
  readonly #whole: Uint8Array;
  bytes: Uint8Array;
  isFree = false;

  constructor(region: Region, offset: number, capacity: number, free: PooledScratch[]) {
    this.region = region.id;
    this.offset = offset;
    this.#whole = region.window(0).subarray(offset, offset + capacity);
    this.bytes = this.#whole;
    this.free = free;
  }

  get length(): number {
    return this.bytes.length;
  }

  /** Zeroed unless it will be filled: what another task left behind is nobody else's business. */
  take(length: number, filled: boolean): this {
    this.isFree = false;
    if (this.bytes.length !== length) this.bytes = this.#whole.subarray(0, length);
    if (!filled) this.bytes.fill(0);
    return this;
  }
}

export class ScratchPool {
  readonly #memory: RegionMemory;
  /** By size class: SMALLEST, twice that, and so on. */
  readonly #free: PooledScratch[][] = [];
  readonly #big = new Map<PooledScratch, Region>();

  constructor(memory: RegionMemory) {
    this.#memory = memory;
    for (let size = SMALLEST; size <= BIGGEST; size *= 2) this.#free.push([]);
  }

  allocate(length: number, filled: boolean): Scratch {
    if (!(length >= 0 && Number.isInteger(length))) {
      throw new RangeError(`Expected a buffer length in bytes, but received ${length}`);
    }
    if (length > BIGGEST) return this.#allocateBig(length);
    const sizeClass = length <= SMALLEST ? 0 : 32 - Math.clz32((length - 1) / SMALLEST);
    const free = this.#free[sizeClass];
    if (free.length === 0) this.#grow(SMALLEST * 2 ** sizeClass, free);
    return free.pop()!.take(length, filled);
  }

  release(scratch: Scratch): void {
    const pooled = scratch as PooledScratch;
    // Two owners of one buffer would be a bug that shows up anywhere but here.
    if (pooled.isFree) throw new Error('This buffer was released before');
    const region = this.#big.get(pooled);
    if (region === undefined) pooled.free.push(pooled);
    else if (this.#memory.unmap(region)) this.#big.delete(pooled);
    else throw new Error('This buffer is released while an operation uses it');
    pooled.isFree = true;
  }

  #grow(size: number, free: PooledScratch[]): void {
    const region = this.#memory.mapAnonymous(CHUNK);
    for (let offset = CHUNK - size; offset >= 0; offset -= size) {
      const scratch = new PooledScratch(region, offset, size, free);
      scratch.isFree = true;
      free.push(scratch);
    }
  }

  #allocateBig(length: number): Scratch {
    const region = this.#memory.mapAnonymous(length);
    const scratch = new PooledScratch(region, 0, length, []);
    this.#big.set(scratch, region);
    return scratch;
  }
}
