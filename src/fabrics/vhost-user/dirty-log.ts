/**
 * The log of a migration ("Vhost-user Protocol", section "Migration"): one bit per page of guest memory that we
 * wrote, in memory shared with the front-end, which reads and clears it meanwhile. A page is marked after it was
 * written: the other way round, the front-end could copy the old bytes and clear the mark in between.
 */
import { fstatSync } from 'node:fs';
import type { Region, RegionMemory } from '../../native/memory.ts';
import type { SegmentList } from '../../scsi/segment-list.ts';
import type { MemoryTable } from './memory-table.ts';
import { ProtocolError } from './protocol-error.ts';
import { checkSharedFile } from './shared-file.ts';
import { LOG_PAGE } from './vhost-user-spec.ts';

/** Covers 32 TiB of guest memory, and fits into one view. */
const MAX_LOG_BYTES = 2 ** 30;
/** Of our own mmap. */
const MAP_ALIGNMENT = 4096;

export class DirtyLog {
  readonly region: Region;
  private readonly memory: RegionMemory;
  private readonly table: MemoryTable;
  private readonly bits: Uint8Array;

  /** `size` and `offset` in bytes, as in SET_LOG_BASE. The caller closes `fd`. */
  constructor(memory: RegionMemory, table: MemoryTable, size: number, offset: number, fd: number) {
    if (size < 1 || size > MAX_LOG_BYTES) {
      throw new ProtocolError(`log of ${size} bytes, expected 1 to ${MAX_LOG_BYTES}`);
    }
    if (offset % MAP_ALIGNMENT !== 0) throw new ProtocolError(`log at unaligned offset ${offset}`);
    checkSharedFile(fd, 'the migration log');
    const file = fstatSync(fd);
    if (file.size < offset + size) {
      throw new ProtocolError(`log ends at byte ${offset + size} of a file of ${file.size}`);
    }
    this.memory = memory;
    this.table = table;
    this.region = memory.map(fd, offset, size, { name: 'the migration log' });
    this.bits = memory.bytes(this.region, 0, size);
  }

  /** Marks the pages of guest-physical [address, address + length). Addresses that the log does not cover are nobody's. */
  mark(address: number, length: number): void {
    if (length === 0) return;
    const last = Math.floor((address + length - 1) / LOG_PAGE);
    for (let page = Math.floor(address / LOG_PAGE); page <= last; page++) {
      const at = Math.floor(page / 8);
      if (at >= this.bits.length) return;
      // Atomic, since the front-end clears bits of the same byte.
      Atomics.or(this.bits, at, 1 << (page % 8));
    }
  }

  /** Marks the first `length` bytes of `segments`. */
  markSegments(segments: SegmentList, length: number): void {
    for (let i = 0; i < segments.count && length > 0; i++) {
      const part = Math.min(segments.lengthAt(i), length);
      this.mark(this.table.guestAddress(segments.regionAt(i), segments.offsetAt(i)), part);
      length -= part;
    }
  }

  /** Unmaps it; nothing may use it any more. */
  close(): void {
    this.memory.unmap(this.region);
  }
}
