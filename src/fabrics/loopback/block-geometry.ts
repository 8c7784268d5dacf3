/** What a block layer has to know of a disk before it uses it, asked in SCSI (SBC-3 5.16, 6.6; SPC-4 6.14). */
import { u16, u32, u64 } from '../../scsi/bytes.ts';

export interface BlockGeometry {
  /** Bytes per logical block. */
  readonly blockSize: number;
  /** Bytes that the disk reads and writes without doing more than was asked. */
  readonly physicalBlockSize: number;
  /** LBA of the first block that starts a physical one. */
  readonly alignedBlock: number;
  /** Bytes. */
  readonly byteLength: number;
  readonly readOnly: boolean;
  /** Writes are durable only after a flush, or with FUA. */
  readonly volatileCache: boolean;
  /** Whether `volatileCache` can be switched, by MODE SELECT. */
  readonly switchableCache: boolean;
  /** READ and WRITE take FUA. */
  readonly fua: boolean;
  readonly unmap: boolean;
  /** WRITE SAME may unmap instead of writing. */
  readonly unmapByWriteSame: boolean;
  /** Unmapped blocks read as zeroes. */
  readonly unmapReadsZero: boolean;
  /** Blocks per READ or WRITE, UNMAP, WRITE SAME. */
  readonly maximumTransfer: number;
  readonly maximumUnmap: number;
  readonly maximumWriteSame: number;
  /** Blocks; transfers do best in multiples of the first, and not above the second. 0: the disk names none. */
  readonly optimalGranularity: number;
  readonly optimalTransfer: number;
  /** Bytes; 0 when the disk names none. */
  readonly unmapGranularity: number;
}

/** Undefined: the unit does not know the page. */
export interface GeometryPages {
  /** READ CAPACITY(16) data. */
  readonly capacity: Uint8Array;
  /** MODE SENSE(10) data with the Caching page, no block descriptors. */
  readonly caching: Uint8Array | undefined;
  /** The same with changeable values. */
  readonly changeableCaching: Uint8Array | undefined;
  readonly blockLimits: Uint8Array | undefined;
  readonly provisioning: Uint8Array | undefined;
}

/** Blocks; where a page gives no limit, this keeps one command within reason. */
const DEFAULT_MAXIMUM = 0xffff;

const MODE_HEADER = 8;
const WP = 0x80;
const DPOFUA = 0x10;
const WCE = 0x04;
const PS = 0x80;
const LOWEST_ALIGNED = 0x3fff;
const LBPME = 0x80;
const LBPRZ = 0x40;
const LBPU = 0x80;
const LBPWS = 0x40;

export function decodeGeometry({
  capacity,
  caching,
  changeableCaching,
  blockLimits,
  provisioning,
}: GeometryPages): BlockGeometry {
  const blockSize = u32(capacity, 8);
  const managed = (capacity[14] & LBPME) !== 0;
  const limit = (at: number) =>
    blockLimits !== undefined && at + 4 <= blockLimits.length ? u32(blockLimits, at) : 0;
  const provisioned = managed ? (provisioning?.[5] ?? 0) : 0;
  return {
    blockSize,
    physicalBlockSize: blockSize << (capacity[13] & 0x0f),
    alignedBlock: u16(capacity, 14) & LOWEST_ALIGNED,
    byteLength: (u64(capacity, 0) + 1) * blockSize,
    readOnly: caching !== undefined && (caching[3] & WP) !== 0,
    fua: caching !== undefined && (caching[3] & DPOFUA) !== 0,
    volatileCache: hasWriteCache(caching),
    switchableCache: hasWriteCache(changeableCaching),
    unmap: (provisioned & LBPU) !== 0,
    unmapByWriteSame: (provisioned & LBPWS) !== 0,
    unmapReadsZero: managed && (capacity[14] & LBPRZ) !== 0,
    maximumTransfer: limit(8) || DEFAULT_MAXIMUM,
    maximumUnmap: limit(20) || DEFAULT_MAXIMUM,
    maximumWriteSame: limit(40) || DEFAULT_MAXIMUM,
    // Two bytes, which end where the next limit starts.
    optimalGranularity: limit(4) & 0xffff,
    optimalTransfer: limit(12),
    unmapGranularity: limit(28) * blockSize,
  };
}

/** WCE of the Caching page in MODE SENSE(10) data. */
function hasWriteCache(modes: Uint8Array | undefined): boolean {
  return modes !== undefined && (modes[cachingPageAt(modes) + 2] & WCE) !== 0;
}

/** Where the Caching page starts in MODE SENSE(10) data. */
function cachingPageAt(modes: Uint8Array): number {
  return MODE_HEADER + u16(modes, 6);
}

/** MODE SENSE(10) data as the parameter list of a MODE SELECT(10) that switches the write cache. */
export function withWriteCache(modes: Uint8Array, enabled: boolean): Uint8Array {
  const list = modes.slice();
  // Reserved in MODE SELECT: MODE DATA LENGTH, WP, DPOFUA and PS.
  list.fill(0, 0, MODE_HEADER - 2);
  const page = cachingPageAt(list);
  list[page] &= ~PS;
  list[page + 2] = enabled ? list[page + 2] | WCE : list[page + 2] & ~WCE;
  return list;
}
