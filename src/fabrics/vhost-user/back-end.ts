/**
 * A vhost-user back-end: the state that the messages of one connection build up (features, memory, rings), for a
 * virtio device of any type. It knows no socket; requests.ts turns messages into calls of these methods.
 */
import type { IoEngine } from '../../native/io-engine.ts';
import type { RegionMemory } from '../../native/memory.ts';
import type { AddressSpace } from './address-space.ts';
import { Batch, type BatchOwner } from './batch.ts';
import { DirtyLog } from './dirty-log.ts';
import { featureSet, hasFeature } from './feature-set.ts';
import type { GuestViews } from './guest-views.ts';
import { InflightBuffer } from './inflight-buffer.ts';
import { Iotlb, type IotlbOwner } from './iotlb.ts';
import { MemoryTable } from './memory-table.ts';
import type { InflightDescription, IotlbDescription, RegionDescription } from './message.ts';
import { ProtocolError, type VirtqueueError } from './protocol-error.ts';
import type { RingSpace } from './ring-layout.ts';
import type { RingPoller } from './ring-poller.ts';
import { RingSet, type RingSettings } from './ring-set.ts';
import { IotlbType, VhostFeature } from './vhost-user-spec.ts';
import type { DeviceHost, VirtioDevice } from './virtio-device.ts';
import { VirtioFeature } from './virtio-spec.ts';
import type { Vring } from './vring.ts';

/** What this code does, whatever the device. */
const RING_FEATURES = featureSet(
  VirtioFeature.VERSION_1,
  VirtioFeature.NOTIFY_ON_EMPTY,
  VirtioFeature.ANY_LAYOUT,
  VirtioFeature.RING_INDIRECT_DESC,
  VirtioFeature.RING_EVENT_IDX,
  VirtioFeature.RING_PACKED,
  VirtioFeature.ACCESS_PLATFORM,
  VhostFeature.PROTOCOL_FEATURES,
  VhostFeature.LOG_ALL,
);

/**
 * Bits that change the meaning of rings and are not offered: they must not be taken for granted. Other bits that
 * were not offered are let pass, since QEMU hands on whatever the guest acknowledged.
 */
const UNSUPPORTED = [[VirtioFeature.IN_ORDER, 'requests to be used in their order (in_order=on)']] as const;

export interface BackEndOptions {
  readonly engine: IoEngine;
  readonly memory: RegionMemory;
  /** Shared by all of a shard; without it, nothing spins. */
  readonly poller?: RingPoller;
  /** Until it resolves, requests wait; messages are answered as ever. */
  readonly ready?: Promise<void>;
  createDevice(host: DeviceHost): VirtioDevice;
}

export interface BackEndOwner extends IotlbOwner {
  /** The device does nothing more until its driver starts anew. */
  deviceBroken(reason: string): void;
  /** The connection has to end. */
  connectionLost(reason: string): void;
  /** The same, and it is our fault. */
  failed(where: string, error: unknown): void;
  /** The front-end shall read the configuration space again. */
  configChanged(): void;
  /** Signals by message; nothing happens where they are not negotiated. */
  callInBand(index: number): void;
  errorInBand(index: number): void;
}

export class BackEnd implements DeviceHost, BatchOwner, RingSettings {
  readonly device: VirtioDevice;
  readonly memory: RegionMemory;
  readonly table: MemoryTable;
  readonly iotlb: Iotlb;
  readonly views: GuestViews;
  readonly rings: RingSet;
  features = 0n;
  /** What the driver's addresses mean. */
  space: AddressSpace & RingSpace;
  /** Set while a migration wants writes to be marked. */
  log: DirtyLog | undefined = undefined;
  inflight: InflightBuffer | undefined = undefined;
  private readonly owner: BackEndOwner;
  private readonly batch: Batch;
  private logBuffer: DirtyLog | undefined = undefined;
  private faultsSeen: number;
  private closing = false;
  private owned = false;
  /** The configuration changed while nobody could be told. */
  private changeUntold = false;

  constructor(options: BackEndOptions, owner: BackEndOwner) {
    const { engine, memory, poller, ready } = options;
    this.memory = memory;
    this.owner = owner;
    this.table = new MemoryTable(memory);
    this.iotlb = new Iotlb(this.table, owner);
    this.space = this.table;
    this.views = this.table.views;
    this.batch = new Batch(engine, this, poller);
    this.rings = new RingSet(this, this.batch);
    if (ready !== undefined) void this.holdUntil(ready);
    this.faultsSeen = memory.faults;
    this.device = options.createDevice(this);
  }

  private async holdUntil(ready: Promise<void>): Promise<void> {
    this.batch.held = true;
    await ready;
    this.batch.held = false;
    this.rings.processFrom(0);
  }

  get offeredFeatures(): bigint {
    return RING_FEATURES | this.device.features;
  }

  /** Rings that run keep what was negotiated when they started, except for the log. */
  setFeatures(features: bigint): void {
    for (const [bit, name] of UNSUPPORTED) {
      if (hasFeature(features, bit))
        throw new ProtocolError(`the driver wants ${name}, which is not offered`);
    }
    this.features = features;
    this.space = hasFeature(features, VirtioFeature.ACCESS_PLATFORM) ? this.iotlb : this.table;
    this.log = hasFeature(features, VhostFeature.LOG_ALL) ? this.logBuffer : undefined;
    this.forgetTranslations();
    this.device.setFeatures(features);
    // "Ring states": who does not know of SET_VRING_ENABLE has all rings enabled at once.
    if (!hasFeature(features, VhostFeature.PROTOCOL_FEATURES)) this.rings.enableAll();
  }

  /** SET_VRING_KICK: takes over `fd`, or none, and starts the ring. */
  kickRing(index: number, fd: number | undefined): void {
    this.rings.kickWith(index, fd);
    this.resumed();
  }

  /** VRING_KICK: starts the ring, or looks at it. */
  kickRingInBand(index: number): void {
    this.rings.kickedInBand(index);
    this.resumed();
  }

  /** Stops a ring when its tasks have ended; resolves with the index it will go on from. */
  async stopRing(index: number): Promise<number> {
    const base = await this.rings.stop(index);
    this.forgetTranslations();
    return base;
  }

  /**
   * SET_OWNER: a session starts. Where QEMU plugs a device in again on the connection of one that it unplugged, what the
   * session before shared is gone, though nobody has taken it back; only what comes before SET_OWNER stays.
   */
  async begin(): Promise<void> {
    if (this.owned) {
      await this.reset();
      this.rings.forget();
      this.iotlb.clear();
      this.table.clear();
      this.inflight?.close();
      this.inflight = undefined;
      this.log = undefined;
      this.logBuffer?.close();
      this.logBuffer = undefined;
    }
    this.owned = true;
  }

  /** Disables and stops all rings; the device is as new. */
  async reset(): Promise<void> {
    await this.rings.stopAll();
    this.forgetTranslations();
    for (const vring of this.rings.all()) vring.enabled = false;
    this.rings.brokenReason = undefined;
    // QEMU asks for a new one after a reset; others may not.
    this.inflight?.clear();
    await this.device.reset();
  }

  // -- Memory -------------------------------------------------------------------------------------------------

  /** The caller closes `fd`. */
  addRegion(description: RegionDescription, fd: number): void {
    this.table.add(description, fd);
  }

  removeRegion(description: RegionDescription): Promise<void> {
    return this.rings.whileQuiet(() => {
      this.iotlb.clear();
      this.table.remove(description);
    });
  }

  /** The caller closes `fds`, when this has resolved. */
  setMemoryTable(descriptions: readonly RegionDescription[], fds: readonly number[]): Promise<void> {
    return this.rings.whileQuiet(() => {
      this.iotlb.clear();
      this.table.replace(descriptions, fds);
    });
  }

  /** SET_LOG_BASE; `size` and `offset` in bytes. The caller closes `fd`. */
  setLog(size: number, offset: number, fd: number): void {
    const buffer = new DirtyLog(this.memory, this.table, size, offset, fd);
    this.logBuffer?.close();
    this.logBuffer = buffer;
    if (hasFeature(this.features, VhostFeature.LOG_ALL)) this.log = buffer;
  }

  async changeTranslations(message: IotlbDescription): Promise<void> {
    switch (message.type) {
      case IotlbType.UPDATE:
        this.iotlb.update(message);
        this.rings.retry();
        this.resumed();
        return;
      case IotlbType.INVALIDATE:
        await this.rings.whileQuiet(() => this.iotlb.invalidate(message.iova, message.size));
        return;
      default:
        throw new ProtocolError(`IOTLB message of type ${message.type}`);
    }
  }

  /** Questions go by a new channel. */
  channelOpened(): void {
    this.iotlb.forgetQuestions();
    this.rings.retry();
  }

  /** The front-end has answered the oldest question for a translation. */
  translationAnswered(found: boolean): void {
    this.iotlb.answered(found);
    this.rings.retry();
  }

  /** While no ring runs, nobody tells us what changes; the next driver may have another idea of its addresses. */
  private forgetTranslations(): void {
    if (!this.rings.anyStarted) this.iotlb.clear();
  }

  // -- In-flight tracking -------------------------------------------------------------------------------------

  /**
   * A new buffer's description and its file, which the caller closes. It is not used before the front-end hands
   * it back with SET_INFLIGHT_FD.
   */
  createInflight(queues: number, queueSize: number): { description: InflightDescription; fd: number } {
    return InflightBuffer.create(queues, queueSize, this.device.maxRings);
  }

  /** The caller closes `fd`. */
  setInflight(description: InflightDescription, fd: number): void {
    if (this.rings.anyStarted) throw new ProtocolError('the in-flight buffer was changed while rings run');
    const { memory, device } = this;
    const buffer = InflightBuffer.adopt(memory, description, fd, device.maxRings);
    this.inflight?.close();
    this.inflight = buffer;
  }

  // -- End ----------------------------------------------------------------------------------------------------

  /**
   * Ends everything: after it resolves, no byte of the front-end's memory is touched. With `finish`, tasks that
   * run are answered before; without, they are aborted, and nobody hears of them.
   */
  async close(finish: boolean): Promise<void> {
    this.closing = true;
    if (finish) await this.rings.stopAll();
    this.rings.discard();
    await this.device.abort();
    await this.rings.drained();
    await this.device.close();
    this.rings.close();
    this.batch.close();
    this.inflight?.close();
    this.log = undefined;
    this.logBuffer?.close();
    this.table.clear();
  }

  // -- DeviceHost, BatchOwner ---------------------------------------------------------------------------------

  processRings(first: number): void {
    this.rings.processFrom(first);
  }

  /** While all rings are stopped the front-end is sent nothing ("Suspended device state"); it hears of it after that. */
  configChanged(): void {
    if (this.closing) return;
    this.changeUntold = !this.rings.anyStarted;
    if (!this.changeUntold) this.owner.configChanged();
  }

  /** A ring has started. */
  private resumed(): void {
    if (this.changeUntold) this.configChanged();
  }

  ringBroken(vring: Vring, error: VirtqueueError): void {
    // A ring whose memory was taken away reads as zeroes, which makes no sense either.
    this.checkMemory();
    this.rings.broke(vring, error);
    this.owner.deviceBroken(this.rings.brokenReason!);
  }

  /** What the ring's requests are left in nobody knows: the next connection begins with what the driver sees. */
  ringFailed({ index }: Vring, error: unknown): void {
    this.rings.discard();
    if (!this.closing) this.owner.failed(`ring ${index}`, error);
  }

  takeOn(): void {
    this.rings.processFrom(0);
  }

  obstructed({ index }: Vring): void {
    if (!this.closing) this.owner.connectionLost(`the front-end blocks the descriptors of ring ${index}`);
  }

  callInBand({ index }: Vring): void {
    this.owner.callInBand(index);
  }

  errorInBand({ index }: Vring): void {
    this.owner.errorInBand(index);
  }

  checkMemory(): void {
    const { faults } = this.memory;
    if (faults === this.faultsSeen) return;
    this.faultsSeen = faults;
    const regions = this.table.mapped.map(({ region }) => region);
    if (this.inflight !== undefined) regions.push(this.inflight.region);
    if (this.logBuffer !== undefined) regions.push(this.logBuffer.region);
    if (!this.closing && regions.some((region) => this.memory.broken(region))) {
      this.owner.connectionLost('the front-end took back memory that it had shared');
    }
  }
}
