/**
 * Blocks in a regular file or on a block device. Data moves straight between the initiator's segments and the
 * file; the io engine decides between the page cache at once and io_uring or a thread.
 */
import { fstatSync, statfsSync } from 'node:fs';
import { addon } from '../native/addon.ts';
import { IoFlag } from '../native/engine-spec.ts';
import { systemError } from '../native/errno.ts';
import type { IoEngine } from '../native/io-engine.ts';
import type { RegionMemory } from '../native/memory.ts';
import {
  type Backstore,
  type BackstoreCapabilities,
  type BackstoreExtent,
  type BackstoreOperation,
  type BackstoreSpace,
  OperationKind,
  Outcome,
} from '../scsi/backstore.ts';
import type { Scratch } from '../scsi/environment.ts';
import { SegmentList } from '../scsi/segment-list.ts';
import { BounceMemory } from './bounce-memory.ts';
import { FileRequest } from './file-request.ts';
import { FileUpkeep } from './file-upkeep.ts';
import type { BackstoreDescription, OpenBackstore } from './open-backstore.ts';
import type { OpenedFile } from './open-file.ts';

/** Bytes of the unit that stat counts blocks in. */
const STAT_BLOCK = 512;
/** Bytes; block layers align the data of their requests to this. */
const KERNEL_ALIGNMENT = 512;

export class FileBackstore implements OpenBackstore {
  readonly name: string;
  readonly fd: number;
  readonly engine: IoEngine;
  readonly memory: RegionMemory;
  readonly bounces: BounceMemory;
  readonly capabilities: BackstoreCapabilities;
  byteLength: number;
  /** Bytes; no transfer is finer. */
  readonly blockSize: number;
  /** IoFlag bits of every transfer. */
  readonly transferFlags: number;
  /**
   * Writes with FUA are followed by a sync of the file, rather than written with RWF_DSYNC: the kernel runs those
   * one after the other, each with a flush of its own, but lets syncs at the same time share one. It is no use where
   * other writes are left in the page cache, for the sync would take these along.
   */
  readonly syncsEveryWrite: boolean;
  /** Whether fallocate can zero a range; found out by the first try. */
  zeroRangeWorks = true;
  /**
   * The errno of the first failed sync, 0 when none failed. The kernel forgets the pages that it could not
   * write, so a later sync may succeed although data is lost: once failed, always failed, until reopened.
   */
  failedSync = 0;
  /** Absent on a block device, which cannot tell, and where the answer may not come: a WRITE would wait for it. */
  readonly space: (() => BackstoreSpace) | undefined;
  private readonly opened: OpenedFile;
  private readonly upkeep: FileUpkeep;
  private readonly free: FileRequest[] = [];
  /** Operations under way. */
  private running = 0;
  private closing = false;
  /** Called when none is under way any more, by who waits for that. */
  private idle: (() => void) | undefined = undefined;
  /** Copies from here or to here that run. */
  private readonly copies = new Set<Promise<number>>();
  private zeroScratch: Scratch | undefined = undefined;
  private readonly zeroSegments = new SegmentList(1);

  constructor(opened: OpenedFile, engine: IoEngine, memory: RegionMemory) {
    this.opened = opened;
    this.name = opened.path;
    this.fd = opened.fd;
    this.engine = engine;
    this.memory = memory;
    this.bounces = new BounceMemory(memory);
    this.byteLength = opened.size;
    this.blockSize = opened.blockSize;
    this.transferFlags = flagsFor(opened);
    if (this.transferFlags === IoFlag.INLINE) engine.mapReads(this.fd);
    this.syncsEveryWrite = opened.cache === 'writethrough';
    this.capabilities = {
      readOnly: opened.readOnly,
      volatileCache: true,
      unmap: opened.punchHole,
      unmapReadsZero: opened.punchHole,
      unmapGranularity: opened.allocationUnit,
      writeZeroes: true,
      physicalBlockSize: opened.physicalBlockSize,
      rotational: opened.rotational,
      // Where the page cache has the data, copying it at once beats asking the kernel for it in three steps.
      kernelBuffers:
        opened.direct && opened.memoryAlignment <= KERNEL_ALIGNMENT && engine.mode === 'io_uring',
    };
    this.upkeep = new FileUpkeep(opened);
    this.space = opened.isFile && opened.prompt ? () => this.measureSpace() : undefined;
  }

  start(operation: BackstoreOperation): void {
    const { kind } = operation;
    if (this.closing) {
      operation.finish(Outcome.GONE, 0);
      return;
    }
    if (this.opened.readOnly && kind !== OperationKind.READ && kind !== OperationKind.PREFETCH) {
      operation.finish(kind === OperationKind.FLUSH ? Outcome.GOOD : Outcome.WRITE_PROTECTED, 0);
      return;
    }
    const request = this.free.pop() ?? new FileRequest(this);
    this.running++;
    operation.backstoreContext = request;
    request.start(operation);
  }

  cancel(operation: BackstoreOperation): void {
    const request = operation.backstoreContext as FileRequest | undefined;
    if (request?.isFor(operation)) request.cancel();
  }

  release(request: FileRequest): void {
    this.free.push(request);
    if (--this.running === 0) this.idle?.();
  }

  syncFailed(errno: number): void {
    if (this.failedSync === 0) this.failedSync = errno;
  }

  /** Whether O_DIRECT cannot use these buffers as they are. */
  needsBounce(segments: SegmentList, position: number, length: number): boolean {
    const { direct, memoryAlignment, lengthAlignment } = this.opened;
    if (!direct) return false;
    const { count } = segments;
    for (let i = 0; i < count && length > 0; i++) {
      const size = segments.lengthAt(i);
      if (position >= size) {
        position -= size;
        continue;
      }
      const part = Math.min(size - position, length);
      const unaligned =
        ((segments.offsetAt(i) + position) & (memoryAlignment - 1)) | (part & (lengthAlignment - 1));
      if (unaligned !== 0) return true;
      length -= part;
      position = 0;
    }
    return false;
  }

  /** A list of `length` zero bytes, for filesystems that cannot zero a range; undefined when there is no memory for it. */
  zeroes(length: number): SegmentList | undefined {
    if (this.zeroScratch === undefined) {
      try {
        this.zeroScratch = this.memory.allocate(length);
      } catch {
        return undefined;
      }
      this.zeroScratch.bytes.fill(0);
      this.zeroSegments.add(this.zeroScratch.region, this.zeroScratch.offset, length);
    }
    return this.zeroSegments;
  }

  /** Asks the filesystem where data lies; what it cannot tell counts as mapped. */
  extent(offset: number): BackstoreExtent | Promise<BackstoreExtent> {
    return this.upkeep.extent(offset, this.byteLength);
  }

  /** By the kernel, where both filesystems and their files allow it. */
  async copyFrom(source: Backstore, from: number, to: number, length: number): Promise<boolean> {
    if (!(source instanceof FileBackstore) || this.opened.readOnly) return false;
    // It runs on libuv's threads: a few copies that hang would keep everybody's reservations from being saved.
    if (!this.opened.prompt || !source.opened.prompt) return false;
    if (this.closing || source.closing) return false;
    const copying = addon.copyFileRange(source.fd, from, this.fd, to, length);
    const ends = [this.copies, source.copies];
    for (const copies of ends) copies.add(copying);
    try {
      return (await copying) === length;
    } finally {
      for (const copies of ends) copies.delete(copying);
    }
  }

  /** What the file takes up, and what its filesystem has left for an ordinary user. */
  private measureSpace(): BackstoreSpace {
    const { bsize, bavail } = statfsSync(`/proc/self/fd/${this.fd}`);
    return { used: fstatSync(this.fd).blocks * STAT_BLOCK, available: bavail * bsize };
  }

  async refresh(): Promise<boolean> {
    const size = await this.upkeep.measure();
    if (size === this.byteLength) return false;
    this.byteLength = size;
    return true;
  }

  async resize(size: number): Promise<void> {
    await this.upkeep.resize(size);
    await this.refresh();
  }

  describe(): BackstoreDescription {
    return {
      kind: this.opened.isFile ? 'file' : 'block',
      path: this.opened.path,
      size: this.byteLength,
      readOnly: this.opened.readOnly,
      cache: this.opened.cache,
      io: this.engine.mode,
    };
  }

  /** Throws when the last sync fails, or an earlier one had: then the tail of what was written may be lost. */
  async close(): Promise<void> {
    this.closing = true;
    if (this.running > 0) await new Promise<void>((resolve) => (this.idle = resolve));
    await Promise.all(this.copies);
    if (this.zeroScratch !== undefined) this.memory.release(this.zeroScratch);
    await this.upkeep.close();
    if (this.failedSync !== 0)
      throw systemError(-this.failedSync, 'make durable all that was written to', this.name);
  }
}

function flagsFor({ prompt, direct }: OpenedFile): number {
  if (!prompt) return IoFlag.WORKER;
  return direct ? IoFlag.DIRECT : IoFlag.INLINE;
}
