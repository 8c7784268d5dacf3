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
import { FreeList } from './free-list.ts';

/** Where the front-end claims to have mapped guest address 0: unlike any guest address, so mix-ups are found. */
const USER_BASE = 0x7f5a_0000_0000;
/** Distance of the starts of `regionWindows`. */
const WINDOW_STEP = 2 ** 30;
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
  readonly id: number;
  readonly windows: ArrayBuffer[];
}

export class GuestMemory {
  /** The one file behind all regions; tests may truncate it. */
  readonly fd: number;
  readonly regions: readonly GuestRegion[];
  private readonly mapped: MappedRegion[];
  private readonly freeList: FreeList;

  /** `reserved` bytes at the start of each region are never allocated, so that address 0 stays free. */
  constructor(requests: readonly RegionRequest[], reserved = PAGE) {
    const total = requests.reduce((sum, request) => sum + request.length, 0);
    this.fd = succeed(addon.memfd('lunport-mock-guest', total), 'memfd');
    let fileOffset = 0;
    this.mapped = requests.map(({ guestAddress, length }) => {
      const mmapOffset = fileOffset;
      fileOffset += length;
      const id = succeed(addon.mapRegion(this.fd, mmapOffset, length, false), 'mapRegion');
      return {
        guestAddress,
        length,
        userAddress: USER_BASE + guestAddress,
        mmapOffset,
        fd: this.fd,
        id,
        windows: addon.regionWindows(id),
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
    const { buffer, offset } = this.locate(address, length);
    return new Uint8Array(buffer, offset, length);
  }

  view(address: number, length: number): DataView {
    const { buffer, offset } = this.locate(address, length);
    return new DataView(buffer, offset, length);
  }

  /** A view of `count` 16-bit fields; `address` must be even. */
  words(address: number, count: number): Uint16Array {
    const { buffer, offset } = this.locate(address, count * 2);
    return new Uint16Array(buffer, offset, count);
  }

  /** A view of `count` 32-bit fields; `address` must be a multiple of 4. */
  doubleWords(address: number, count: number): Uint32Array {
    const { buffer, offset } = this.locate(address, count * 4);
    return new Uint32Array(buffer, offset, count);
  }

  /** The front-end's own address of a guest address: what SET_VRING_ADDR carries. */
  userAddress(address: number): number {
    return USER_BASE + address;
  }

  /** Unmaps and closes; all views are detached. */
  close(): void {
    for (const region of this.mapped) succeed(addon.unmapRegion(region.id), 'unmapRegion');
    addon.close(this.fd);
  }

  private locate(address: number, length: number): { buffer: ArrayBuffer; offset: number } {
    const region = this.mapped.find(
      ({ guestAddress, length: size }) => address >= guestAddress && address + length <= guestAddress + size,
    );
    if (region === undefined) {
      throw new RangeError(`guest range 0x${address.toString(16)}+${length} is not inside one region`);
    }
    const offset = address - region.guestAddress;
    const window = Math.min(Math.floor(offset / WINDOW_STEP), region.windows.length - 1);
    return { buffer: region.windows[window], offset: offset - window * WINDOW_STEP };
  }
}

/** The result of a native call, which must not have failed. */
export function succeed(result: number, call: string): number {
  if (result < 0) throw new Error(`${call} failed with errno ${-result}`);
  return result;
}
