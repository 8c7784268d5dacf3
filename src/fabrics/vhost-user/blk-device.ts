/**
 * The virtio block device (virtio 1.2, 5.2): its configuration space, and the requests under way of a connection. It
 * stands on a block initiator, so that every request is a SCSI command: reservations and access states hold for it too.
 */
import type { BlockInitiator } from '../loopback/block-initiator.ts';
import { BlockKind, type BlockRequest } from '../loopback/block-request.ts';
import type { AddressSpace } from './address-space.ts';
import { BlkQueue } from './blk-queue.ts';
import type { BlkRequest } from './blk-request.ts';
import { writtenConfig } from './config-space.ts';
import type { DirtyLog } from './dirty-log.ts';
import { featureSet, hasFeature } from './feature-set.ts';
import type { GuestViews } from './guest-views.ts';
import type { ConfigAccess } from './message.ts';
import { BlkConfig, BlkFeature, MAX_RANGES, SECTOR } from './virtio-blk-spec.ts';
import type { DeviceHost, RequestCounters, VirtioDevice } from './virtio-device.ts';
import type { VringHandler } from './vring-handler.ts';

/** Rings have 8-bit numbers in the messages that hand over their descriptors. */
const MAX_RINGS = 256;
/** With header and status, what fits the rings of 128 that QEMU makes unless told otherwise. */
const MAX_SEGMENTS = 126;
const MAX_U32 = 0xffff_ffff;
/** 5.2.4: what the driver may write. */
const WRITABLE = { from: BlkConfig.WRITEBACK, end: BlkConfig.WRITEBACK + 1 };

export interface BlkDeviceOptions {
  /** Outlives the connection. */
  readonly disk: BlockInitiator;
  /** Answers GET_ID: up to 20 bytes of ASCII. */
  readonly serial: Uint8Array;
}

export class BlkDevice implements VirtioDevice {
  readonly features: bigint;
  readonly maxRings = MAX_RINGS;
  readonly counters: RequestCounters = { requests: 0, refused: 0, unanswerable: 0 };
  readonly disk: BlockInitiator;
  readonly serial: Uint8Array;
  readonly views: GuestViews;
  /** Writes are to be on stable storage when they are answered. */
  forceUnitAccess = true;
  private readonly host: DeviceHost;
  /** The driver knows of no flush. */
  private flushless = false;
  /** The driver wants no cache, and the unit would not switch off its own. */
  private writeThrough = false;
  /** Requests under way, linked through `next` and `previous`. */
  private first: BlkRequest | undefined = undefined;
  private idle: (() => void)[] = [];

  constructor(host: DeviceHost, { disk, serial }: BlkDeviceOptions) {
    this.host = host;
    this.views = host.views;
    this.disk = disk;
    this.serial = serial;
    const { readOnly, unmap, switchableCache } = disk.geometry;
    this.features =
      featureSet(
        BlkFeature.SEG_MAX,
        BlkFeature.BLK_SIZE,
        BlkFeature.FLUSH,
        BlkFeature.TOPOLOGY,
        BlkFeature.MQ,
        BlkFeature.WRITE_ZEROES,
      ) |
      (readOnly ? featureSet(BlkFeature.RO) : 0n) |
      (unmap ? featureSet(BlkFeature.DISCARD) : 0n) |
      (switchableCache ? featureSet(BlkFeature.CONFIG_WCE) : 0n);
    disk.onChange = () => host.configChanged();
  }

  get space(): AddressSpace {
    return this.host.space;
  }

  get log(): DirtyLog | undefined {
    return this.host.log;
  }

  /** 5.2.5.2, 5.2.6.2: a driver that knows no flush gets a cache that is written through. */
  setFeatures(features: bigint): void {
    this.flushless = !hasFeature(features, BlkFeature.FLUSH);
    this.forceUnitAccess = this.flushless || this.writeThrough;
  }

  handler(): VringHandler {
    return new BlkQueue(this);
  }

  readConfig(): Uint8Array {
    const { geometry } = this.disk;
    const { blockSize, physicalBlockSize, alignedBlock, unmapGranularity } = geometry;
    const bytes = new Uint8Array(BlkConfig.LENGTH);
    const view = new DataView(bytes.buffer);
    const sectors = (kind: BlockKind) => Math.min(Math.floor(this.disk.maximumBytes(kind) / SECTOR), MAX_U32);
    view.setBigUint64(BlkConfig.CAPACITY, BigInt(geometry.byteLength / SECTOR), true);
    view.setUint32(BlkConfig.SEG_MAX, MAX_SEGMENTS, true);
    view.setUint32(BlkConfig.BLK_SIZE, blockSize, true);
    view.setUint8(BlkConfig.PHYSICAL_BLOCK_EXPONENT, Math.log2(physicalBlockSize / blockSize));
    view.setUint8(BlkConfig.ALIGNMENT_OFFSET, alignedBlock);
    view.setUint16(BlkConfig.MIN_IO_SIZE, geometry.optimalGranularity, true);
    view.setUint32(BlkConfig.OPT_IO_SIZE, geometry.optimalTransfer, true);
    const writeback = geometry.volatileCache && !this.flushless && !this.writeThrough;
    view.setUint8(BlkConfig.WRITEBACK, writeback ? 1 : 0);
    view.setUint16(BlkConfig.NUM_QUEUES, MAX_RINGS, true);
    view.setUint32(BlkConfig.MAX_DISCARD_SECTORS, sectors(BlockKind.DISCARD), true);
    view.setUint32(BlkConfig.MAX_DISCARD_SEG, MAX_RANGES, true);
    view.setUint32(BlkConfig.DISCARD_SECTOR_ALIGNMENT, Math.max(unmapGranularity, blockSize) / SECTOR, true);
    view.setUint32(BlkConfig.MAX_WRITE_ZEROES_SECTORS, sectors(BlockKind.WRITE_ZEROES), true);
    view.setUint32(BlkConfig.MAX_WRITE_ZEROES_SEG, MAX_RANGES, true);
    view.setUint8(BlkConfig.WRITE_ZEROES_MAY_UNMAP, this.disk.canZeroByUnmapping ? 1 : 0);
    return bytes;
  }

  /**
   * 5.2.4: the driver may write `writeback` only. QEMU shows its guest what the guest has written, so writes are stable
   * from then on even if the unit refuses to switch: another initiator may have reserved it.
   */
  async writeConfig(access: ConfigAccess): Promise<void> {
    const cached = writtenConfig(this.readConfig(), access, WRITABLE)[BlkConfig.WRITEBACK] !== 0;
    if (access.offset >= WRITABLE.end || access.offset + access.size <= WRITABLE.from) return;
    this.writeThrough = !cached;
    this.forceUnitAccess = this.flushless || this.writeThrough;
    // What the unit has saved also holds after a restart, when front-ends do not say it again.
    if (await this.disk.setWriteCache(cached)) this.writeThrough = false;
    this.forceUnitAccess = this.flushless || this.writeThrough;
  }

  /** A request is under way. */
  started(request: BlkRequest): void {
    this.counters.requests++;
    request.next = this.first;
    request.previous = undefined;
    if (this.first !== undefined) this.first.previous = request;
    this.first = request;
  }

  ended(request: BlkRequest): void {
    const { next, previous } = request;
    if (next !== undefined) next.previous = previous;
    if (previous !== undefined) previous.next = next;
    else this.first = next;
    request.next = undefined;
    request.previous = undefined;
    if (this.first === undefined && this.idle.length > 0)
      for (const resolve of this.idle.splice(0)) resolve();
  }

  async reset(): Promise<void> {
    this.flushless = false;
    this.writeThrough = false;
    this.forceUnitAccess = true;
  }

  abort(): Promise<void> {
    const running: BlockRequest[] = [];
    for (let request = this.first; request !== undefined; request = request.next) running.push(request.block);
    for (const block of running) block.abort();
    if (this.first === undefined) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  async close(): Promise<void> {
    this.disk.onChange = undefined;
  }
}
