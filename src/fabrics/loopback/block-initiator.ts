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
import { type BlockGeometry, decodeGeometry, withWriteCache } from './block-geometry.ts';
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
const MODE_SENSE_CHANGEABLE_CACHING = [0x5a, 0x08, 0x48, 0, 0, 0, 0, 1, 0, 0];
/** With PF, and with or without SP. */
const modeSelect = (length: number, save: boolean) => [0x55, save ? 0x11 : 0x10, 0, 0, 0, 0, 0, 0, length, 0];
const inquiry = (page: number) => [0x12, 1, page, ALLOCATION_LENGTH >> 8, ALLOCATION_LENGTH & 0xff, 0];
const BLOCK_LIMITS = 0xb0;
const PROVISIONING = 0xb2;
const SERIAL_NUMBER = 0x80;
/** Of a VPD page. */
const PAGE_HEADER = 4;
/** What a block layer knows from mode pages or READ CAPACITY may be something else now. */
const CHANGES: ReadonlySet<number> = new Set([
  Sense.CAPACITY_DATA_HAS_CHANGED.code,
  Sense.MODE_PARAMETERS_CHANGED.code,
]);
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
  /** The last `refresh` that was asked for. */
  private refreshed: Promise<void> = Promise.resolve();

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
        if (changed === lun && CHANGES.has(code)) void this.refresh();
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

  /** As UNIT SERIAL NUMBER (VPD page 80h) has it; undefined when the unit tells none. */
  async serialNumber(): Promise<Uint8Array | undefined> {
    return (await ask(this.initiator, this.lun, inquiry(SERIAL_NUMBER)))?.subarray(PAGE_HEADER);
  }

  /**
   * Switches the unit's write cache (WCE), for all its initiators and, where the unit can save it, for good. False
   * when the unit refuses.
   */
  async setWriteCache(enabled: boolean): Promise<boolean> {
    const modes = await ask(this.initiator, this.lun, MODE_SENSE_CACHING);
    if (modes === undefined) return false;
    const list = withWriteCache(modes, enabled);
    for (const save of [true, false]) {
      if ((await ask(this.initiator, this.lun, modeSelect(list.length, save), list)) === undefined) continue;
      await this.refresh();
      return true;
    }
    return false;
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

  /** Whether the data of READ and WRITE may be in buffers of the kernel, and best is. */
  get takesKernelBuffers(): boolean {
    return this.nexus.unit(this.lun)?.logicalUnit.takesKernelBuffers === true;
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

  /** Reads size and abilities again; a unit that does not tell keeps what it had. */
  refresh(): Promise<void> {
    // One after the other: an older answer must not win over a newer one.
    this.refreshed = this.refreshed.then(async () => {
      try {
        this.geometry = await readGeometry(this.initiator, this.lun);
      } catch (error) {
        if (error instanceof UnusableUnitError) return;
        throw error;
      }
      this.onChange?.();
    });
    return this.refreshed;
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
    changeableCaching: await ask(initiator, lun, MODE_SENSE_CHANGEABLE_CACHING),
    blockLimits: await ask(initiator, lun, inquiry(BLOCK_LIMITS)),
    provisioning: await ask(initiator, lun, inquiry(PROVISIONING)),
  });
}

/** The data of a command; undefined when it fails for a reason that does not pass. */
async function ask(
  initiator: Initiator,
  lun: number,
  cdb: ArrayLike<number>,
  dataOut?: Uint8Array,
): Promise<Uint8Array | undefined> {
  const data = dataOut === undefined ? { dataInLength: ALLOCATION_LENGTH } : { dataOut };
  for (let i = 0; i < MAX_TRIES; i++) {
    const { status, sense, dataIn } = await initiator.send({ cdb, lun, ...data });
    if (status === Status.GOOD) return dataIn;
    const { retry } = judge(status, sense);
    if (retry === Retry.NO) return undefined;
    if (retry === Retry.LATER) {
      await new Promise<void>((resolve) => initiator.environment.after(RETRY_DELAY, resolve));
    }
  }
  return undefined;
}
