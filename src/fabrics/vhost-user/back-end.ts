/**
 * A vhost-user back-end: the state that the messages of one connection build up (features, memory, rings), for a
 * virtio device of any type. It knows no socket; connection.ts turns messages into calls of these methods.
 */
import type { IoEngine } from '../../native/io-engine.ts';
import type { RegionMemory } from '../../native/memory.ts';
import { Batch, type BatchOwner } from './batch.ts';
import { DirtyLog } from './dirty-log.ts';
import { featureSet, hasFeature } from './feature-set.ts';
import type { GuestViews } from './guest-views.ts';
import { InflightBuffer } from './inflight-buffer.ts';
import { MemoryTable } from './memory-table.ts';
import type { InflightDescription, RegionDescription, RingAddresses } from './message.ts';
import { PackedVirtqueue } from './packed-virtqueue.ts';
import { ProtocolError, VirtqueueError } from './protocol-error.ts';
import { packedRingViews, splitRingViews } from './ring-layout.ts';
import type { RingPoller } from './ring-poller.ts';
import { SplitVirtqueue } from './split-virtqueue.ts';
import { VhostFeature } from './vhost-user-spec.ts';
import type { DeviceHost, VirtioDevice } from './virtio-device.ts';
import { VirtioFeature } from './virtio-spec.ts';
import { Vring } from './vring.ts';

/**
 * How long a front-end that stops a ring or changes its memory waits for tasks that run, milliseconds. Then they
 * are aborted: the guest retries those, while a front-end that hangs takes the whole guest with it.
 */
const DRAIN_PATIENCE = 10_000;

/** What this code does, whatever the device. */
const RING_FEATURES = featureSet(
  VirtioFeature.VERSION_1,
  VirtioFeature.ANY_LAYOUT,
  VirtioFeature.RING_INDIRECT_DESC,
  VirtioFeature.RING_EVENT_IDX,
  VirtioFeature.RING_PACKED,
  VhostFeature.PROTOCOL_FEATURES,
  VhostFeature.LOG_ALL,
);

/**
 * Bits that change the meaning of rings or addresses: they must not be taken for granted. Others that were not
 * offered are let pass, since QEMU hands on whatever the guest acknowledged.
 */
const UNSUPPORTED = [[VirtioFeature.ACCESS_PLATFORM, 'an IOMMU (iommu_platform=on)']] as const;

export interface BackEndOptions {
  readonly engine: IoEngine;
  readonly memory: RegionMemory;
  /** Shared by all of a shard; without it, nothing spins. */
  readonly poller?: RingPoller;
  createDevice(host: DeviceHost): VirtioDevice;
}

export interface BackEndOwner {
  /** The device does nothing more until its driver starts anew. */
  deviceBroken(reason: string): void;
  /** The connection has to end. */
  memoryLost(reason: string): void;
}

export class BackEnd implements DeviceHost, BatchOwner {
  readonly device: VirtioDevice;
  readonly space: MemoryTable;
  readonly views: GuestViews;
  features = 0n;
  /** Why the device does nothing; undefined while it works. */
  brokenReason: string | undefined = undefined;
  private readonly memory: RegionMemory;
  private readonly owner: BackEndOwner;
  private readonly batch: Batch;
  private readonly vrings: (Vring | undefined)[] = [];
  /** Set while a migration wants writes to be marked. */
  log: DirtyLog | undefined = undefined;
  private logBuffer: DirtyLog | undefined = undefined;
  private inflight: InflightBuffer | undefined = undefined;
  private faultsSeen: number;
  private closing = false;

  constructor(options: BackEndOptions, owner: BackEndOwner) {
    const { engine, memory, poller } = options;
    this.memory = memory;
    this.owner = owner;
    this.space = new MemoryTable(memory);
    this.views = this.space.views;
    this.batch = new Batch(engine, this, poller);
    this.faultsSeen = memory.faults;
    this.device = options.createDevice(this);
  }

  get offeredFeatures(): bigint {
    return RING_FEATURES | this.device.features;
  }

  /** Rings that exist, with gaps. */
  get rings(): readonly (Vring | undefined)[] {
    return this.vrings;
  }

  setFeatures(features: bigint): void {
    for (const [bit, name] of UNSUPPORTED) {
      if (hasFeature(features, bit))
        throw new ProtocolError(`the driver wants ${name}, which is not offered`);
    }
    this.features = features;
    this.device.setFeatures(features);
    this.log = hasFeature(features, VhostFeature.LOG_ALL) ? this.logBuffer : undefined;
  }

  // -- Memory -------------------------------------------------------------------------------------------------

  /** The caller closes `fd`. */
  addRegion(description: RegionDescription, fd: number): void {
    this.space.add(description, fd);
  }

  removeRegion(description: RegionDescription): Promise<void> {
    return this.whileQuiet(() => this.space.remove(description));
  }

  /** The caller closes `fds`, when this has resolved. */
  setMemoryTable(descriptions: readonly RegionDescription[], fds: readonly number[]): Promise<void> {
    return this.whileQuiet(() => this.space.replace(descriptions, fds));
  }

  /** SET_LOG_BASE; `size` and `offset` in bytes. The caller closes `fd`. */
  setLog(size: number, offset: number, fd: number): void {
    const buffer = new DirtyLog(this.memory, this.space, size, offset, fd);
    this.logBuffer?.close();
    this.logBuffer = buffer;
    if (hasFeature(this.features, VhostFeature.LOG_ALL)) this.log = buffer;
  }

  // -- Rings --------------------------------------------------------------------------------------------------

  setVringSize(index: number, size: number): void {
    this.stoppedVring(index).size = size;
  }

  setVringBase(index: number, base: number): void {
    this.stoppedVring(index).base = base;
  }

  /** A running ring keeps its place; only its logging changes then. */
  setVringAddresses(addresses: RingAddresses): void {
    const vring = this.vring(addresses.index);
    const { started, addresses: old } = vring;
    const moved =
      old === undefined ||
      old.descriptor !== addresses.descriptor ||
      old.available !== addresses.available ||
      old.used !== addresses.used;
    if (started && moved) throw new ProtocolError(`ring ${vring.index} moved while it runs`);
    vring.addresses = addresses;
  }

  /** Takes over `fd`, or none; starts the ring. */
  setVringKick(index: number, fd: number | undefined): void {
    const vring = this.vring(index);
    vring.setKick(fd);
    if (fd === undefined) throw new ProtocolError(`ring ${index} is to be polled, which is not supported`);
    if (vring.started) {
      vring.listen();
      return;
    }
    // A device that was broken comes back to life when its rings are set up again.
    this.brokenReason = undefined;
    // Without protocol features there is no SET_VRING_ENABLE ("Ring states").
    if (!hasFeature(this.features, VhostFeature.PROTOCOL_FEATURES)) vring.enabled = true;
    this.start(vring, true);
  }

  setVringCall(index: number, fd: number | undefined): void {
    this.vring(index).setCall(fd);
  }

  setVringErr(index: number, fd: number | undefined): void {
    this.vring(index).setErr(fd);
  }

  enableVring(index: number, enabled: boolean): void {
    this.vring(index).enable(enabled);
  }

  /** Stops the ring when its tasks have ended; resolves with the index it will go on from. */
  async stopVring(index: number): Promise<number> {
    const vring = this.vring(index);
    vring.pause();
    await this.drain([vring]);
    return vring.stop();
  }

  /** Disables and stops all rings; the device is as new. */
  async reset(): Promise<void> {
    await this.stopAll();
    for (const vring of this.existing()) vring.enabled = false;
    this.brokenReason = undefined;
    await this.device.reset();
  }

  // -- In-flight tracking -------------------------------------------------------------------------------------

  /** The buffer's description and its file, which the caller closes. */
  createInflight(queues: number, queueSize: number): { description: InflightDescription; fd: number } {
    this.replaceInflight(undefined);
    const { buffer, fd } = InflightBuffer.create(
      this.memory,
      this.packed,
      queues,
      queueSize,
      this.device.maxRings,
    );
    const { description } = buffer;
    // The front-end hands it back with SET_INFLIGHT_FD; it counts from then on.
    buffer.close();
    return { description, fd };
  }

  /** The caller closes `fd`. */
  setInflight(description: InflightDescription, fd: number): void {
    this.replaceInflight(
      InflightBuffer.adopt(this.memory, this.packed, description, fd, this.device.maxRings),
    );
  }

  // -- End ----------------------------------------------------------------------------------------------------

  /**
   * Ends everything: after it resolves, no byte of the front-end's memory is touched. With `finish`, tasks that
   * run are answered before; without, they are aborted, and nobody hears of them.
   */
  async close(finish: boolean): Promise<void> {
    this.closing = true;
    if (finish) await this.stopAll();
    for (const vring of this.vrings) vring?.discard();
    await this.device.abort();
    await Promise.all(this.existing().map((vring) => vring.drained()));
    await this.device.close();
    for (const vring of this.vrings) vring?.close();
    this.batch.close();
    this.replaceInflight(undefined);
    this.log = undefined;
    this.logBuffer?.close();
    this.space.clear();
  }

  // -- DeviceHost, BatchOwner ---------------------------------------------------------------------------------

  processRings(fromIndex: number): void {
    for (let index = fromIndex; index < this.vrings.length; index++) this.vrings[index]?.process();
  }

  ringBroken(vring: Vring, error: VirtqueueError): void {
    // A ring whose memory was taken away reads as zeroes, which makes no sense either.
    this.checkMemory();
    this.brokenReason = `ring ${vring.index}: ${error.message}`;
    for (const each of this.vrings) each?.pause();
    vring.signalError();
    this.owner.deviceBroken(this.brokenReason);
  }

  checkMemory(): void {
    const { faults } = this.memory;
    if (faults === this.faultsSeen) return;
    this.faultsSeen = faults;
    const regions = this.space.mapped.map(({ region }) => region);
    if (this.inflight !== undefined) regions.push(this.inflight.region);
    if (this.logBuffer !== undefined) regions.push(this.logBuffer.region);
    if (!this.closing && regions.some((region) => this.memory.broken(region))) {
      this.owner.memoryLost('the front-end took back memory that it had shared');
    }
  }

  // -- Inside -------------------------------------------------------------------------------------------------

  private vring(index: number): Vring {
    const { device } = this;
    if (index >= device.maxRings) throw new ProtocolError(`ring ${index}, there are ${device.maxRings}`);
    const present = this.vrings[index];
    if (present !== undefined) return present;
    const vring = new Vring(index, device.handler(index), this.batch);
    this.vrings[index] = vring;
    return vring;
  }

  private stoppedVring(index: number): Vring {
    const vring = this.vring(index);
    if (vring.started) throw new ProtocolError(`ring ${index} was changed while it runs`);
    return vring;
  }

  private get packed(): boolean {
    return hasFeature(this.features, VirtioFeature.RING_PACKED);
  }

  private existing(): Vring[] {
    return this.vrings.filter((vring) => vring !== undefined);
  }

  /** `fresh`: not only its memory or its descriptors have changed. */
  private start(vring: Vring, fresh: boolean): void {
    const { addresses, size } = vring;
    if (addresses === undefined) throw new ProtocolError(`ring ${vring.index} has no addresses yet`);
    try {
      const options = {
        size,
        space: this.space,
        guest: this.views,
        eventIndex: hasFeature(this.features, VirtioFeature.RING_EVENT_IDX),
        indirect: hasFeature(this.features, VirtioFeature.RING_INDIRECT_DESC),
        base: vring.queue?.base ?? vring.base,
      };
      const queue = this.packed
        ? new PackedVirtqueue({
            ...options,
            ...packedRingViews(this.memory, this.space, addresses, size),
            inflight: this.inflight?.packed(vring.index, size),
          })
        : new SplitVirtqueue({
            ...options,
            ...splitRingViews(this.memory, this.space, addresses, size),
            inflight: this.inflight?.split(vring.index, size),
          });
      vring.start(queue, fresh ? queue.recover() : []);
    } catch (error) {
      if (!(error instanceof VirtqueueError)) throw error;
      this.ringBroken(vring, error);
    }
  }

  private async stopAll(): Promise<void> {
    const all = this.existing();
    for (const vring of all) vring.pause();
    await this.drain(all);
    for (const vring of all) vring.stop();
  }

  /** Waits until no task of these rings runs, but not for ever. */
  private async drain(vrings: readonly Vring[]): Promise<void> {
    const impatience = setTimeout(() => void this.device.abort(), DRAIN_PATIENCE);
    await Promise.all(vrings.map((vring) => vring.drained()));
    clearTimeout(impatience);
  }

  /** Makes a change under which no task may run, then lets the rings go on where they were. */
  private async whileQuiet(change: () => void): Promise<void> {
    const running = this.existing().filter((vring) => vring.started);
    for (const vring of running) vring.pause();
    await this.drain(running);
    change();
    if (this.brokenReason === undefined) for (const vring of running) this.start(vring, false);
  }

  private replaceInflight(buffer: InflightBuffer | undefined): void {
    this.inflight?.close();
    this.inflight = buffer;
  }
}
