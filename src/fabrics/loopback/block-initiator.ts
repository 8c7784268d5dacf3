/**
 * A disk as a block layer wants it, over one I_T nexus: what NBD and FUSE stand on. Everything is a CDB, so
 * reservations, access states and protection hold for the host as for any guest.
 */
import { u32, u64 } from '../../scsi/bytes.ts';
import type { Environment } from '../../scsi/environment.ts';
import type { Nexus } from '../../scsi/nexus.ts';
import { Sense } from '../../scsi/sense-spec.ts';
import { Status } from '../../scsi/status-spec.ts';
import { judge, Retry } from './block-error.ts';
import { type BlockGeometry, decodeGeometry } from './block-geometry.ts';
import { BlockKind, BlockRequest } from './block-request.ts';
import { Initiator } from './initiator.ts';

/** Part of a disk, in bytes: whether space is behind it, and whether it is known to read as zeroes. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly hole: boolean;
  readonly zero: boolean;
}

/** The unit would not even tell its size. */
export class UnusableUnitError extends Error {
  override name = 'UnusableUnitError';
}

const ALLOCATION_LENGTH = 1024;
/** Milliseconds, and tries, for a unit that is becoming ready. */
const RETRY_DELAY = 50;
const MAX_TRIES = 100;
const READ_CAPACITY_16 = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
const MODE_SENSE_CACHING = [0x5a, 0x08, 0x08, 0, 0, 0, 0, 1, 0, 0];
const inquiry = (page: number) => [0x12, 1, page, ALLOCATION_LENGTH >> 8, ALLOCATION_LENGTH & 0xff, 0];
const BLOCK_LIMITS = 0xb0;
const PROVISIONING = 0xb2;
/** GET LBA STATUS (SBC-3 5.4): header and descriptors; PROVISIONING STATUS of what has no space behind it. */
const STATUS_HEADER = 8;
const STATUS_DESCRIPTOR = 16;
const DEALLOCATED = 1;

export class BlockInitiator {
  readonly nexus: Nexus;
  readonly lun: number;
  readonly environment: Environment;
  geometry: BlockGeometry;
  /** Called when `geometry` has changed. */
  onChange: (() => void) | undefined = undefined;
  private readonly initiator: Initiator;
  private readonly free: BlockRequest[] = [];
  private tag = 0;

  private constructor(initiator: Initiator, lun: number, geometry: BlockGeometry) {
    this.initiator = initiator;
    this.nexus = initiator.nexus;
    this.environment = initiator.environment;
    this.lun = lun;
    this.geometry = geometry;
    this.nexus.listener = {
      unitAdded: () => {},
      unitRemoved: () => {},
      unitAttention: (changed, code) => {
        if (changed === lun && code === Sense.CAPACITY_DATA_HAS_CHANGED.code) void this.refresh();
      },
    };
  }

  /** `nexus` is its own from now on. Throws UnusableUnitError. */
  static async open(nexus: Nexus, lun: number, environment: Environment): Promise<BlockInitiator> {
    const initiator = new Initiator(nexus, environment);
    return new BlockInitiator(initiator, lun, await readGeometry(initiator, lun));
  }

  /** A request to fill in and `start`; give it back with `release` after its end. */
  request(): BlockRequest {
    return this.free.pop() ?? new BlockRequest(this);
  }

  release(request: BlockRequest): void {
    this.free.push(request);
  }

  /** Never one that a running command has: those are 2^32 apart. */
  nextTag(): number {
    this.tag = (this.tag + 1) >>> 0;
    return this.tag;
  }

  /** Whether blocks can be made to read as zeroes by giving their space back. */
  get canZeroByUnmapping(): boolean {
    return this.geometry.unmapByWriteSame && this.geometry.unmapReadsZero;
  }

  /** Bytes that one command of this kind may cover. */
  maximumBytes(kind: BlockKind): number {
    const { blockSize, maximumTransfer, maximumUnmap, maximumWriteSame } = this.geometry;
    switch (kind) {
      case BlockKind.DISCARD:
        return maximumUnmap * blockSize;
      case BlockKind.WRITE_ZEROES:
        return maximumWriteSame * blockSize;
      default:
        return maximumTransfer * blockSize;
    }
  }

  /** Reads size and abilities again. */
  async refresh(): Promise<void> {
    this.geometry = await readGeometry(this.initiator, this.lun);
    this.onChange?.();
  }

  /**
   * What lies where in [offset, offset + length), from the start and as far as one command tells. Undefined when
   * the unit does not tell, or did not this time.
   */
  async extents(offset: number, length: number): Promise<Extent[] | undefined> {
    const { blockSize, unmapReadsZero } = this.geometry;
    const cdb = new Uint8Array(16);
    const view = new DataView(cdb.buffer);
    cdb.set([0x9e, 0x12]);
    view.setBigUint64(2, BigInt(Math.floor(offset / blockSize)));
    view.setUint32(10, ALLOCATION_LENGTH);
    const data = await ask(this.initiator, this.lun, cdb);
    if (data === undefined) return undefined;
    const extents: Extent[] = [];
    const end = offset + length;
    for (let at = STATUS_HEADER; at + STATUS_DESCRIPTOR <= data.length; at += STATUS_DESCRIPTOR) {
      const start = Math.max(offset, u64(data, at) * blockSize);
      const stop = Math.min(end, (u64(data, at) + u32(data, at + 8)) * blockSize);
      if (stop <= start) break;
      const hole = (data[at + 12] & 0x0f) === DEALLOCATED;
      extents.push({ offset: start, length: stop - start, hole, zero: hole && unmapReadsZero });
    }
    return extents.length === 0 ? undefined : extents;
  }

  /** Logs out; commands under way are aborted, and their requests end. */
  close(): Promise<void> {
    return this.initiator.close();
  }
}

async function readGeometry(initiator: Initiator, lun: number): Promise<BlockGeometry> {
  const capacity = await ask(initiator, lun, READ_CAPACITY_16);
  if (capacity === undefined || capacity.length < 16) {
    throw new UnusableUnitError(`LUN ${lun} does not tell its capacity`);
  }
  return decodeGeometry({
    capacity,
    caching: await ask(initiator, lun, MODE_SENSE_CACHING),
    blockLimits: await ask(initiator, lun, inquiry(BLOCK_LIMITS)),
    provisioning: await ask(initiator, lun, inquiry(PROVISIONING)),
  });
}

/** The data of a command; undefined when it fails for a reason that does not pass. */
async function ask(
  initiator: Initiator,
  lun: number,
  cdb: ArrayLike<number>,
): Promise<Uint8Array | undefined> {
  for (let i = 0; i < MAX_TRIES; i++) {
    const { status, sense, dataIn } = await initiator.send({ cdb, lun, dataInLength: ALLOCATION_LENGTH });
    if (status === Status.GOOD) return dataIn;
    const { retry } = judge(status, sense);
    if (retry === Retry.NO) return undefined;
    if (retry === Retry.LATER) {
      await new Promise<void>((resolve) => initiator.environment.after(RETRY_DELAY, resolve));
    }
  }
  return undefined;
}
