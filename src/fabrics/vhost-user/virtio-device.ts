/**
 * What a virtio device type brings to a vhost-user back-end, which knows rings, memory and messages but not what
 * a request means. One object per connection.
 */
import type { AddressSpace } from './address-space.ts';
import type { DirtyLog } from './dirty-log.ts';
import type { GuestViews } from './guest-views.ts';
import type { ConfigAccess } from './message.ts';
import type { Vring } from './vring.ts';
import type { VringHandler } from './vring-handler.ts';

/** What the back-end offers its device. */
export interface DeviceHost {
  readonly space: AddressSpace;
  readonly views: GuestViews;
  /** Where writes to guest memory are marked; undefined while nobody migrates. */
  readonly log: DirtyLog | undefined;
  /** The rings that exist so far, request queues included: takes what the driver made available. */
  processRings(fromIndex: number): void;
  /** The configuration space says something else now: the driver is told, if it can be. */
  configChanged(): void;
}

export interface RequestCounters {
  /** Requests that were begun. */
  requests: number;
  /** Requests refused at sight: bad target, bad layout. */
  refused: number;
  /** Chains given back untouched, since there was nowhere to answer. */
  unanswerable: number;
}

export interface VirtioDevice {
  /** Device-specific feature bits that it offers. */
  readonly features: bigint;
  /** Rings at most. */
  readonly maxRings: number;
  readonly counters: RequestCounters;
  /** What the driver acknowledged; may come several times. */
  setFeatures(features: bigint): void;
  /** Called once per ring. */
  handler(index: number): VringHandler;
  /** The configuration space. */
  readConfig(): Uint8Array;
  writeConfig(access: ConfigAccess): void | Promise<void>;
  /** The driver starts anew: the initial settings hold, and what the initiator had is lost. */
  reset(): Promise<void>;
  /** Hurries everything under way to its end; resolves when nothing touches guest memory any more. */
  abort(): Promise<void>;
  /** Ends what neither starts nor ends before the driver says something, which it cannot while these rings stop. */
  abortBlocked?(rings: readonly Vring[]): void;
  /** After `abort`: the connection is gone. */
  close(): Promise<void>;
}
