/**
 * The guest's memory as the front-end shared it: regions of files, each at a guest-physical address and at an
 * address of the front-end's own. Every address of guest or front-end goes through here, and comes out as a
 * checked (region, offset) or not at all.
 */
import { fstatSync } from 'node:fs';
import type { Region, RegionMemory } from '../../native/memory.ts';
import type { SegmentList } from '../../scsi/segment-list.ts';
import type { AddressSpace } from './address-space.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { GuestViews } from './guest-views.ts';
import type { RegionDescription } from './message.ts';
import { ProtocolError } from './protocol-error.ts';
import { checkSharedFile } from './shared-file.ts';
import { MAX_MEMORY_SLOTS } from './vhost-user-spec.ts';

const PAGE = 4096;
const ADDRESS_END = 2 ** 53;

export interface MappedRegion extends RegionDescription {
  readonly region: Region;
  /** Where the region starts in the mapping, bytes: mmap needs page boundaries, the protocol does not. */
  readonly base: number;
}

/** A range that lies whole inside one region. */
export interface Location {
  readonly region: Region;
  /** Bytes from the start of the mapping. */
  readonly offset: number;
}

export class MemoryTable implements AddressSpace {
  /** Of all mapped regions. */
  readonly views = new GuestViews();
  /** What the front-end names by addresses of its own it names by guest-physical ones (GPA_ADDRESSES). */
  byGuestAddress = false;
  private readonly memory: RegionMemory;
  /** Sorted by guest address. */
  private regions: MappedRegion[] = [];
  // The same in flat arrays, for the data path.
  private starts = new Float64Array(0);
  private ends = new Float64Array(0);
  /** Guest address to offset in the mapping: add this. */
  private deltas = new Float64Array(0);
  private ids = new Int32Array(0);
  /** Where the last address was found, and that region: most requests stay within one. */
  private last = 0;
  private lastStart = 0;
  private lastEnd = 0;
  private lastDelta = 0;
  private lastId = 0;
  /** The argument of `find`: see address-space.ts on numbers that are passed. */
  private readonly wanted = new Float64Array(1);

  constructor(memory: RegionMemory) {
    this.memory = memory;
  }

  get mapped(): readonly MappedRegion[] {
    return this.regions;
  }

  /** ADD_MEM_REG. Keeps a mapping of its own; the caller closes `fd`. */
  add(description: RegionDescription, fd: number): void {
    this.checkNew(description);
    const mapped = this.map(description, fd);
    this.regions.push(mapped);
    this.views.add(mapped.region);
    this.rebuild();
  }

  /** REM_MEM_REG: the region with this guest address, user address and size; the mmap offset is not compared. */
  remove({ guestAddress, userAddress, size }: RegionDescription): void {
    const index = this.regions.findIndex(
      (other) =>
        other.guestAddress === guestAddress && other.userAddress === userAddress && other.size === size,
    );
    if (index < 0) throw new ProtocolError(`no memory region ${range(guestAddress, size)} to remove`);
    const [removed] = this.regions.splice(index, 1);
    this.rebuild();
    this.unmap(removed);
  }

  /** SET_MEM_TABLE: these regions instead of all others. */
  replace(descriptions: readonly RegionDescription[], fds: readonly number[]): void {
    if (descriptions.length !== fds.length) {
      throw new ProtocolError(`${descriptions.length} memory regions with ${fds.length} file descriptors`);
    }
    this.clear();
    for (const [index, description] of descriptions.entries()) this.add(description, fds[index]);
  }

  /** Unmaps everything; nothing may use it any more. */
  clear(): void {
    const old = this.regions;
    this.regions = [];
    this.rebuild();
    for (const each of old) this.unmap(each);
  }

  translate(chain: DescriptorChain, index: number, skip: number, length: number, into: SegmentList): boolean {
    const address = chain.addressAt(index) + skip;
    if (address >= this.lastStart && address + length <= this.lastEnd) {
      into.add(this.lastId, address + this.lastDelta, length);
      return true;
    }
    this.wanted[0] = address;
    return this.translateParts(length, into);
  }

  /** As `translate`, for what is not known to lie in the region of the last address; `wanted` holds the address. */
  private translateParts(length: number, into: SegmentList): boolean {
    const { starts, ends } = this;
    let address = this.wanted[0];
    while (length > 0) {
      let at = this.last;
      if (!(address >= starts[at] && address < ends[at])) {
        this.wanted[0] = address;
        at = this.find();
        if (at < 0) return false;
        this.stayAt(at);
      }
      const part = Math.min(length, ends[at] - address);
      into.add(this.ids[at], address + this.deltas[at], part);
      address += part;
      length -= part;
    }
    return true;
  }

  /** The place of a front-end address; undefined unless all `length` bytes lie in one region. */
  locateRing(address: number, length: number): Location | undefined {
    const found = this.findUser(address);
    return found !== undefined && length <= found.length ? found : undefined;
  }

  /** The place of a front-end address, and how many bytes from there on lie in the same region. */
  findUser(address: number): (Location & { readonly length: number }) | undefined {
    for (const { guestAddress, userAddress, size, base, region } of this.regions) {
      const within = address - (this.byGuestAddress ? guestAddress : userAddress);
      if (within >= 0 && within < size) return { region, offset: base + within, length: size - within };
    }
    return undefined;
  }

  /** Guest-physical address of a byte of a mapping: what the migration log counts pages by. */
  guestAddress(region: number, offset: number): number {
    const at = this.ids.indexOf(region);
    return offset - this.deltas[at];
  }

  /** Index of the region that holds the address in `wanted`, or -1. */
  private find(): number {
    const { starts, ends } = this;
    const address = this.wanted[0];
    let low = 0;
    let high = starts.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (address < starts[middle]) high = middle - 1;
      else if (address >= ends[middle]) low = middle + 1;
      else return middle;
    }
    return -1;
  }

  private checkNew({ guestAddress, size, userAddress, mmapOffset }: RegionDescription): void {
    const shown = range(guestAddress, size);
    if (size === 0) throw new ProtocolError(`memory region ${shown} is empty`);
    if (Math.max(guestAddress, userAddress, mmapOffset) + size > ADDRESS_END) {
      throw new ProtocolError(`memory region ${shown} wraps around`);
    }
    if (this.regions.length >= MAX_MEMORY_SLOTS) {
      throw new ProtocolError(`more than ${MAX_MEMORY_SLOTS} memory regions`);
    }
    const other = this.regions.find(
      (present) =>
        guestAddress < present.guestAddress + present.size && present.guestAddress < guestAddress + size,
    );
    if (other !== undefined) {
      throw new ProtocolError(`memory region ${shown} overlaps ${range(other.guestAddress, other.size)}`);
    }
  }

  private map(description: RegionDescription, fd: number): MappedRegion {
    const { mmapOffset, size } = description;
    checkSharedFile(fd, 'guest memory');
    const file = fstatSync(fd);
    const end = mmapOffset + size;
    if (file.size < end) {
      throw new ProtocolError(
        `memory region ${range(description.guestAddress, size)} ends at byte ${end} of a file of ${file.size}`,
      );
    }
    // On hugetlbfs, mappings start and end on its pages only; there, a file's block size is the page size.
    const unit = file.blksize > 0 && file.blksize % PAGE === 0 ? file.blksize : PAGE;
    const base = mmapOffset % unit;
    const roundedEnd = Math.min(Math.ceil(end / unit) * unit, Math.max(file.size, end));
    const start = mmapOffset - base;
    return {
      ...description,
      region: this.memory.map(fd, start, roundedEnd - start, { name: 'guest memory' }),
      base,
    };
  }

  private unmap({ region }: MappedRegion): void {
    this.views.remove(region);
    if (!this.memory.unmap(region))
      throw new Error(`memory region ${region.id} is unmapped while I/O uses it`);
  }

  private rebuild(): void {
    this.regions.sort((a, b) => a.guestAddress - b.guestAddress);
    this.starts = Float64Array.from(this.regions, (each) => each.guestAddress);
    this.ends = Float64Array.from(this.regions, (each) => each.guestAddress + each.size);
    this.deltas = Float64Array.from(this.regions, (each) => each.base - each.guestAddress);
    this.ids = Int32Array.from(this.regions, (each) => each.region.id);
    this.stayAt(0);
  }

  private stayAt(at: number): void {
    this.last = at;
    // Of a table without regions: a range that holds nothing.
    this.lastStart = this.starts[at] ?? 0;
    this.lastEnd = this.ends[at] ?? 0;
    this.lastDelta = this.deltas[at] ?? 0;
    this.lastId = this.ids[at] ?? 0;
  }
}

function range(address: number, size: number): string {
  return `0x${address.toString(16)}+0x${size.toString(16)}`;
}
