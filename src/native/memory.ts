/**
 * Mapped memory: the regions that peers share with us, as typed arrays.
 *
 * After `unmap` a view of a region holds zeroes that nobody shares: drop it, so that its addresses become free. It is not
 * detached, for V8 would look for that at each access to any typed array ever after, a third of a request's time.
 */
import { readSync, writeSync } from 'node:fs';
import { addon } from './addon.ts';
import { checked, Errno } from './errno.ts';
import { type Scratch, ScratchPool } from './scratch.ts';

/** Windows start every GiB and are twice as long: see `Addon.regionWindows`. */
const WINDOW_STEP = 2 ** 30;

/** From here on a bulk copy is quicker than a loop, in spite of the view it allocates. */
const LOOP_LIMIT = 64;

/**
 * Data that is in no memory of ours: the pages of requests to a block device, one buffer for each request that can be
 * under way. The io engine moves it by READ and WRITE; everything else takes a copy, by way of the driver's file.
 */
export interface KernelBuffers {
  /** Of the driver's device; it stays the caller's and must outlive the region. */
  readonly fd: number;
  readonly count: number;
  /** Bytes of the region that stand for one buffer. */
  readonly each: number;
  /** Commands to the driver, with an io_uring's place for a buffer. */
  readonly borrow: number;
  readonly giveBack: number;
  /** Where in the file the first buffer begins, and how far apart they are. */
  readonly fileOffset: number;
  readonly fileStride: number;
}

export class Region {
  readonly id: number;
  /** Bytes. */
  readonly length: number;
  /**
   * Windows reach over at most 2 GiB each and start every GiB, so any range up to 1 GiB lies whole inside one of
   * them, the one at index min(floor(offset / 1 GiB), windowCount - 1).
   */
  readonly windowCount: number;
  /** Whose buffers it stands for, when it is no memory. */
  readonly lender: KernelBuffers | undefined;
  readonly #windows: (Uint8Array | undefined)[] = [];

  constructor(id: number, length: number, lender?: KernelBuffers) {
    this.lender = lender;
    this.id = id;
    this.length = length;
    this.windowCount = Math.max(1, Math.ceil(length / WINDOW_STEP) - 1);
  }

  /** Made when first asked for: each new one costs a full garbage collection, since V8 takes it for an allocation. */
  window(index: number): Uint8Array {
    this.#windows[index] ??= new Uint8Array(addon.regionWindow(this.id, index)!);
    return this.#windows[index];
  }

  /** All of them. For regions that may be large, prefer `window`. */
  get windows(): readonly Uint8Array[] {
    return Array.from({ length: this.windowCount }, (_, index) => this.window(index));
  }
}

export interface MapOptions {
  /** Asks for transparent huge pages; most systems grant them to anonymous memory only. */
  readonly hugepages?: boolean;
  /** What to call it in an error. */
  readonly name?: string;
}

/** Copies `length` bytes; without allocation when they are few. */
export function copyBytes(
  from: Uint8Array,
  fromAt: number,
  to: Uint8Array,
  toAt: number,
  length: number,
): void {
  if (length < LOOP_LIMIT) {
    for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i];
  } else {
    to.set(from.subarray(fromAt, fromAt + length), toAt);
  }
}

export class RegionMemory {
  readonly #faults = new Uint32Array(addon.faultCounter);
  /** By id. */
  readonly #regions: (Region | undefined)[] = [];
  readonly #pool = new ScratchPool(this);

  /** Maps `length` bytes of a regular file from `offset`, shared and writable. The descriptor may be closed then. */
  map(fd: number, offset: number, length: number, options: MapOptions = {}): Region {
    const name = options.name ?? `${length} bytes of shared memory`;
    return this.#add(addon.mapRegion(fd, offset, length, options.hugepages === true), 'map', name, length);
  }

  /** Memory of a device, which its driver writes and nobody else may. */
  mapReadOnly(fd: number, length: number, name: string): Region {
    return this.#add(addon.mapReadOnly(fd, length), 'map', name, length);
  }

  /** Private memory of our own that starts as zeroes and is used up only where it is touched. */
  mapAnonymous(length: number, options: MapOptions = {}): Region {
    const name = options.name ?? `${length} bytes of memory`;
    return this.#add(addon.mapAnonymous(length, options.hugepages === true), 'reserve', name, length);
  }

  /** A region that stands for buffers of the kernel. Only `read` and `write` and the io engine get at them. */
  lend(buffers: KernelBuffers, name: string): Region {
    const { fd, count, each, borrow, giveBack } = buffers;
    return this.#add(
      addon.lendKernelBuffers(fd, count, each, borrow, giveBack),
      'borrow',
      name,
      count * each,
      buffers,
    );
  }

  /** Returns false, and nothing has changed, while an operation of the io engine still uses the region. */
  unmap(region: Region): boolean {
    const result = addon.unmapRegion(region.id);
    if (result === Errno.EBUSY) return false;
    checked(result, 'unmap', `memory region ${region.id}`);
    this.#regions[region.id] = undefined;
    return true;
  }

  /** Counts the faults (SIGBUS) of this process; when it has moved, ask `broken` of the regions in use. */
  get faults(): number {
    return this.#faults[0];
  }

  /** Whether the file under the region was truncated: it holds zeroes now and must be given up. */
  broken(region: Region): boolean {
    return addon.regionBroken(region.id);
  }

  /** Copies `length` bytes at `offset` of a region to `into[at…]`. Throws a RangeError outside the region. */
  read(regionId: number, offset: number, into: Uint8Array, at: number, length: number): void {
    const region = this.#region(regionId, offset, length);
    if (region.lender !== undefined) {
      const { lender } = region;
      return checkCopied(readSync(lender.fd, into, at, length, positionOf(lender, offset)), length);
    }
    while (length > 0) {
      const index = windowIndex(region, offset);
      const window = region.window(index);
      const start = offset - index * WINDOW_STEP;
      const part = Math.min(length, window.length - start);
      copyBytes(window, start, into, at, part);
      offset += part;
      at += part;
      length -= part;
    }
  }

  /** Copies `length` bytes of `from[at…]` to `offset` of a region. Throws a RangeError outside the region. */
  write(regionId: number, offset: number, from: Uint8Array, at: number, length: number): void {
    const region = this.#region(regionId, offset, length);
    if (region.lender !== undefined) {
      const { lender } = region;
      return checkCopied(writeSync(lender.fd, from, at, length, positionOf(lender, offset)), length);
    }
    while (length > 0) {
      const index = windowIndex(region, offset);
      const window = region.window(index);
      const start = offset - index * WINDOW_STEP;
      const part = Math.min(length, window.length - start);
      copyBytes(from, at, window, start, part);
      offset += part;
      at += part;
      length -= part;
    }
  }

  /** A view of `length` bytes (at most 1 GiB, like all views). Throws a RangeError outside the region. */
  bytes(region: Region, offset: number, length: number): Uint8Array {
    return new Uint8Array(windowOf(region, offset, length), offsetInWindow(region, offset), length);
  }

  dataView(region: Region, offset: number, length: number): DataView {
    return new DataView(windowOf(region, offset, length), offsetInWindow(region, offset), length);
  }

  /** A view of `count` 16-bit numbers in the machine's byte order; `offset` must be a multiple of 2. */
  u16(region: Region, offset: number, count: number): Uint16Array {
    return new Uint16Array(windowOf(region, offset, count * 2), offsetInWindow(region, offset), count);
  }

  /** A view of `count` 32-bit numbers in the machine's byte order; `offset` must be a multiple of 4. */
  u32(region: Region, offset: number, count: number): Uint32Array {
    return new Uint32Array(windowOf(region, offset, count * 4), offsetInWindow(region, offset), count);
  }

  /**
   * A buffer of our own that the io engine can reach, page-aligned, and zeroed unless it will be `filled` before
   * anybody else gets to read it. Give it back with `release`.
   */
  allocate(length: number, filled = false): Scratch {
    return this.#pool.allocate(length, filled);
  }

  release(scratch: Scratch): void {
    this.#pool.release(scratch);
  }

  #add(id: number, action: string, name: string, length: number, lender?: KernelBuffers): Region {
    const region = new Region(checked(id, action, name), length, lender);
    this.#regions[id] = region;
    return region;
  }

  #region(id: number, offset: number, length: number): Region {
    const region = this.#regions[id];
    if (region === undefined) throw new RangeError(`Expected a memory region, but received ${id}`);
    checkRange(region, offset, length);
    return region;
  }
}

/** Of byte `offset` of a region that stands for buffers of the kernel, in the driver's file. */
function positionOf({ each, fileOffset, fileStride }: KernelBuffers, offset: number): number {
  return fileOffset + Math.floor(offset / each) * fileStride + (offset % each);
}

/** Whoever goes on would take old bytes for these. */
function checkCopied(copied: number, length: number): void {
  if (copied !== length)
    throw new RangeError(`Expected ${length} bytes of a request, but the driver copied ${copied}`);
}

function checkRange(region: Region, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= region.length) return;
  throw new RangeError(
    `Expected a range in memory region ${region.id} of ${region.length} bytes, ` +
      `but received ${length} bytes at ${offset}`,
  );
}

function windowIndex(region: Region, offset: number): number {
  return offset < WINDOW_STEP ? 0 : Math.min(Math.floor(offset / WINDOW_STEP), region.windowCount - 1);
}

/** The window that holds the whole range. */
function windowOf(region: Region, offset: number, length: number): ArrayBuffer {
  checkRange(region, offset, length);
  return region.window(windowIndex(region, offset)).buffer as ArrayBuffer;
}

function offsetInWindow(region: Region, offset: number): number {
  return offset - windowIndex(region, offset) * WINDOW_STEP;
}
