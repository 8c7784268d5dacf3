/**
 * All rings of a device: their set-up, start and stop, and the moments in which none of them may run because
 * something under them changes.
 */
import type { RegionMemory } from '../../native/memory.ts';
import type { AddressSpace } from './address-space.ts';
import type { Batch } from './batch.ts';
import { hasFeature } from './feature-set.ts';
import type { GuestViews } from './guest-views.ts';
import type { InflightBuffer } from './inflight-buffer.ts';
import type { RingAddresses } from './message.ts';
import { PackedVirtqueue } from './packed-virtqueue.ts';
import { ProtocolError, VirtqueueError } from './protocol-error.ts';
import { packedRingViews, type RingSpace, splitRingViews } from './ring-layout.ts';
import { SplitVirtqueue } from './split-virtqueue.ts';
import { TRANSLATION_MISS } from './translation-miss.ts';
import { VhostFeature } from './vhost-user-spec.ts';
import type { VirtioDevice } from './virtio-device.ts';
import { VirtioFeature } from './virtio-spec.ts';
import type { Virtqueue } from './virtqueue.ts';
import { Vring } from './vring.ts';

/**
 * How long a front-end that stops a ring or changes its memory waits for tasks that run, milliseconds. Then they
 * are aborted: the guest retries those, while a front-end that hangs takes the whole guest with it.
 */
const DRAIN_PATIENCE = 10_000;
/** Between looks for tasks that will not end by themselves, milliseconds. */
const LOOK_EVERY = 20;

/** What rings are made from; a ring sees the settings of the moment when it starts. */
export interface RingSettings {
  readonly device: VirtioDevice;
  readonly memory: RegionMemory;
  readonly space: AddressSpace & RingSpace;
  readonly views: GuestViews;
  readonly features: bigint;
  readonly inflight: InflightBuffer | undefined;
}

export class RingSet {
  /** Why the device does nothing; undefined while it works. */
  brokenReason: string | undefined = undefined;
  private readonly settings: RingSettings;
  private readonly batch: Batch;
  /** With gaps. */
  private readonly vrings: (Vring | undefined)[] = [];

  constructor(settings: RingSettings, batch: Batch) {
    this.settings = settings;
    this.batch = batch;
  }

  /** Rings that the front-end has ever named. */
  all(): Vring[] {
    return this.vrings.filter((vring) => vring !== undefined);
  }

  get anyStarted(): boolean {
    return this.all().some((vring) => vring.started);
  }

  /** Made when it is first named. */
  at(index: number): Vring {
    const { device } = this.settings;
    if (index >= device.maxRings) throw new ProtocolError(`ring ${index}, there are ${device.maxRings}`);
    const present = this.vrings[index];
    if (present !== undefined) return present;
    const vring = new Vring(index, device.handler(index), this.batch);
    this.vrings[index] = vring;
    return vring;
  }

  setSize(index: number, size: number): void {
    this.stopped(index).size = size;
  }

  setBase(index: number, base: number): void {
    this.stopped(index).base = base;
  }

  /** A running ring keeps its place; only its logging changes then. */
  setAddresses(addresses: RingAddresses): void {
    const vring = this.at(addresses.index);
    const { started, addresses: old } = vring;
    const moved =
      old === undefined ||
      old.descriptor !== addresses.descriptor ||
      old.available !== addresses.available ||
      old.used !== addresses.used;
    if (started && moved) throw new ProtocolError(`ring ${vring.index} moved while it runs`);
    vring.addresses = addresses;
  }

  /** SET_VRING_KICK: takes over `fd`, and starts the ring; without one, it is polled. */
  kickWith(index: number, fd: number | undefined): void {
    const vring = this.at(index);
    vring.setKick(fd);
    if (vring.started) vring.listen();
    else this.startKicked(vring);
  }

  /** VRING_KICK: starts the ring as a descriptor does, or looks at it. */
  kickedInBand(index: number): void {
    const vring = this.at(index);
    if (vring.started) vring.kicked();
    else this.startKicked(vring);
  }

  private startKicked(vring: Vring): void {
    // A device that was broken comes back to life when its rings are set up again.
    this.brokenReason = undefined;
    // Without protocol features there is no SET_VRING_ENABLE ("Ring states").
    if (!this.has(VhostFeature.PROTOCOL_FEATURES)) vring.enabled = true;
    this.start(vring);
    // Who served the ring before may have died after it had shown what was used, and before it said so.
    vring.call();
  }

  enableAll(): void {
    for (const vring of this.all()) vring.enable(true);
  }

  /** Stops a ring when its tasks have ended; resolves with the index it will go on from. */
  async stop(index: number): Promise<number> {
    const vring = this.at(index);
    vring.pause();
    await this.drain([vring]);
    return vring.stop();
  }

  async stopAll(): Promise<void> {
    const all = this.all();
    for (const vring of all) vring.pause();
    await this.drain(all);
    for (const vring of all) vring.stop();
  }

  /** After `stopAll`: the rings are where no memory will be. */
  forget(): void {
    for (const vring of this.all()) {
      vring.close();
      vring.addresses = undefined;
    }
  }

  /** Makes a change under which no task may run, then lets the rings go on where they were. */
  async whileQuiet(change: () => void): Promise<void> {
    const running = this.all().filter((vring) => vring.started);
    for (const vring of running) vring.pause();
    await this.drain(running);
    change();
    for (const vring of running) if (this.brokenReason === undefined) this.start(vring);
  }

  /** Tries again what had to wait for a translation. */
  retry(): void {
    for (const vring of this.all()) {
      if (vring.waitsForMemory) this.start(vring);
      else vring.process();
    }
  }

  /** The driver broke the rules: nothing is taken from any ring until the rings are set up again. */
  broke(vring: Vring, error: VirtqueueError): void {
    this.brokenReason = `ring ${vring.index}: ${error.message}`;
    for (const each of this.all()) each.pause();
    vring.signalError();
  }

  /** Takes what the driver has made available in ring `first` and those after it. */
  processFrom(first: number): void {
    for (let index = first; index < this.vrings.length; index++) this.vrings[index]?.process();
  }

  /** From now on completions reach nobody. */
  discard(): void {
    for (const vring of this.all()) vring.discard();
  }

  async drained(): Promise<void> {
    await Promise.all(this.all().map((vring) => vring.drained()));
  }

  close(): void {
    for (const vring of this.all()) vring.close();
  }

  private has(feature: number): boolean {
    return hasFeature(this.settings.features, feature);
  }

  private stopped(index: number): Vring {
    const vring = this.at(index);
    if (vring.started) throw new ProtocolError(`ring ${index} was changed while it runs`);
    return vring;
  }

  private start(vring: Vring): void {
    try {
      const queue = this.open(vring);
      // Also when only the memory has changed: the tracker of the in-flight buffer is a new one.
      vring.unfinished = queue.recover();
      vring.start(queue);
    } catch (error) {
      if (error === TRANSLATION_MISS) vring.waitForMemory();
      else if (error instanceof VirtqueueError) this.batch.broken(vring, error);
      else throw error;
    }
  }

  private open(vring: Vring): Virtqueue {
    const { addresses, size, index } = vring;
    const { memory, space, views, inflight } = this.settings;
    if (addresses === undefined) throw new ProtocolError(`ring ${index} has no addresses yet`);
    const options = {
      size,
      space,
      guest: views,
      eventIndex: this.has(VirtioFeature.RING_EVENT_IDX),
      indirect: this.has(VirtioFeature.RING_INDIRECT_DESC),
      base: vring.queue?.base ?? vring.base,
    };
    return this.has(VirtioFeature.RING_PACKED)
      ? new PackedVirtqueue({
          ...options,
          ...packedRingViews(memory, space, addresses, size),
          inflight: inflight?.packed(index, size),
        })
      : new SplitVirtqueue({
          ...options,
          notifyOnEmpty: this.has(VirtioFeature.NOTIFY_ON_EMPTY),
          ...splitRingViews(memory, space, addresses, size),
          inflight: inflight?.split(index, size),
        });
  }

  /** Waits until no task of these rings runs, but not for ever. */
  private async drain(vrings: readonly Vring[]): Promise<void> {
    const { device } = this.settings;
    const impatience = setTimeout(() => void device.abort(), DRAIN_PATIENCE);
    const looks = setInterval(() => device.abortBlocked?.(vrings), LOOK_EVERY);
    await Promise.all(vrings.map((vring) => vring.drained()));
    clearTimeout(impatience);
    clearInterval(looks);
  }
}
