/** What split and packed virtqueues have in common for the device that serves them. */
import type { DescriptorChain } from './descriptor-chain.ts';

export interface Virtqueue {
  /** Descriptors in the ring. */
  readonly size: number;
  /** The longest chain that `pop` returns, in buffers. */
  readonly chainLimit: number;
  /** Bytes of the part that the device writes. */
  readonly usedBytes: number;
  /** Chains taken and not returned. */
  readonly inFlight: number;
  /** What GET_VRING_BASE answers: where this ring goes on after it has stopped. */
  readonly base: number;
  /** Takes the next available chain; false when there is none. Throws a VirtqueueError. */
  pop(chain: DescriptorChain): boolean;
  /** Takes a chain again that an earlier process had taken and not finished. Throws a VirtqueueError. */
  resubmit(head: number, chain: DescriptorChain): void;
  /** Returns a chain by its head; the driver sees it after `publish`. `written` in bytes. */
  push(head: number, written: number): void;
  /** Forgets a chain: the driver never hears of it again. */
  drop(head: number): void;
  /** Shows the driver what was pushed; returns whether it wants to be signalled. */
  publish(): boolean;
  /** Tells the driver that kicks are not needed now. */
  pauseKicks(): void;
  /** Asks for kicks again; returns true when chains came meanwhile, for which no kick will come. */
  awaitKicks(): boolean;
}
