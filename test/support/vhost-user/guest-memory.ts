/**
 * A guest's memory: regions of one memfd at chosen guest-physical addresses, as QEMU shares them. The holes
 * between regions are real: no view reaches into one.
 *
 *     const memory = new GuestMemory([{ guestAddress: 0, length: 0xa0000 }, { guestAddress: 1 << 20, length: 1 << 26 }]);
 *     const address = memory.allocate(4096);
 *     memory.bytes(address, 4096).fill(1);
 *     memory.close();
 */
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';
import { type Region, RegionMemory } from '../../../src/native/memory.ts';
import { FreeList } from './free-list.ts';

/** Where the front-end claims to have mapped guest address 0: unlike any guest address, so mix-ups are found. */
const USER_BASE = 0x7f5a_0000_0000;
const PAGE = 4096;

export interface RegionRequest {
  /** Multiple of 4096. */
  readonly guestAddress: number;
  /** Bytes, a multiple of 4096. */
  readonly length: number;
}

/** A region as a memory table names it (vhost-user, "Memory region description"). */
export interface GuestRegion extends RegionRequest {
  readonly userAddress: number;
  /** Where it starts in the file, bytes. */
  readonly mmapOffset: number;
  readonly fd: number;
}

interface MappedRegion extends GuestRegion {
  readonly region: Region;
}

/** Bytes of all regions together: how long their file has to be. */
export function totalLength(requests: readonly RegionRequest[]): number {
  return requests.reduce((sum, { length }) => sum + length, 0);
}

export class GuestMemory {
  /** The one file behind all regions; tests may truncate it. */
  readonly fd: number;
  readonly regions: readonly GuestRegion[];
  private readonly memory = new RegionMemory();
  private readonly mapped: MappedRegion[];
  private readonly freeList: FreeList;

  /**
   * `reserved` bytes at the start of each region are never allocated, so that address 0 stays free. Without a `file` of
   * at least the regions' length, which is taken over, a memfd is made.
   */
  constructor(requests: readonly RegionRequest[], reserved = PAGE, file?: number) {
    this.fd =
      file ?? checked(addon.memfd('lunport-mock-guest', totalLength(requests)), 'make', 'guest memory');
    let fileOffset = 0;
    this.mapped = requests.map(({ guestAddress, length }) => {
      const mmapOffset = fileOffset;
      fileOffset += length;
      return {
        guestAddress,
        length,
        userAddress: USER_BASE + guestAddress,
        mmapOffset,
        fd: this.fd,
        region: this.memory.map(this.fd, mmapOffset, length),
      };
    });
    this.regions = this.mapped;
    this.freeList = new FreeList(
      requests.map(({ guestAddress, length }) => ({
        start: guestAddress + reserved,
        end: guestAddress + length,
      })),
    );
  }

  /** Guest-physical address of a new range inside one region. */
  allocate(length: number, alignment = 16): number {
    return this.freeList.allocate(length, alignment);
  }

  release(address: number): void {
    this.freeList.release(address);
  }

  /** A view of guest memory; the range lies inside one region, and is at most 1 GiB. */
  bytes(address: number, length: number): Uint8Array {
    const { region, guestAddress } = this.locate(address, length);
    return this.memory.bytes(region, address - guestAddress, length);
  }

  view(address: number, length: number): DataView {
    const { region, guestAddress } = this.locate(address, length);
    return this.memory.dataView(region, address - guestAddress, length);
  }

  /** A view of `count` 16-bit fields; `address` must be even. */
  words(address: number, count: number): Uint16Array {
    const { region, guestAddress } = this.locate(address, count * 2);
    return this.memory.u16(region, address - guestAddress, count);
  }

  /** A view of `count` 32-bit fields; `address` must be a multiple of 4. */
  doubleWords(address: number, count: number): Uint32Array {
    const { region, guestAddress } = this.locate(address, count * 4);
    return this.memory.u32(region, address - guestAddress, count);
  }

  /** The front-end's own address of a guest address: what SET_VRING_ADDR carries. */
  userAddress(address: number): number {
    return USER_BASE + address;
  }

  /** Unmaps and closes; views that are left hold zeroes. */
  close(): void {
    for (const { region } of this.mapped) this.memory.unmap(region);
    addon.close(this.fd);
  }

  private locate(address: number, length: number): MappedRegion {
    const found = this.mapped.find(
      ({ guestAddress, length: size }) => address >= guestAddress && address + length <= guestAddress + size,
    );
    if (found === undefined) {
      throw new RangeError(`guest range 0x${address.toString(16)}+${length} is not inside one region`);
    }
    return found;
  }
}
