/** What split and packed virtqueues have in common for the device that serves them. */
import type { DescriptorChain } from './descriptor-chain.ts';
import type { DirtyLog } from './dirty-log.ts';

/**
 * The longest chain, in buffers, whatever the size of the ring. Drivers put more descriptors into an indirect
 * table than their ring has, which 2.7.5.3.1 forbids; QEMU takes up to this many (VIRTQUEUE_MAX_SIZE), so guests
 * rely on it. In a larger ring longer chains would be allowed, and a ringful of them would be gigabytes of our
 * memory, while no driver goes beyond `seg_max`.
 */
export const CHAIN_LIMIT = 1024;

export interface Virtqueue {
  /** Descriptors in the ring. */
  readonly size: number;
  /** Chains taken and not returned. */
  readonly inFlight: number;
  /** What GET_VRING_BASE answers: where this ring goes on after it has stopped. */
  readonly base: number;
  /** Whether the driver has made more available than was taken: one look at its memory, and no check of what it says. */
  readonly hasAvailable: boolean;
  /** Takes the next available chain; false when there is none. Throws a VirtqueueError. */
  pop(chain: DescriptorChain): boolean;
  /**
   * For a ring that starts anew: chains that an earlier process had taken and not returned, oldest first, to be
   * handed to `resubmit`. With in-flight tracking, what was taken decides where the ring goes on; the front-end
   * may know only what was used. Throws a ProtocolError when the in-flight buffer makes no sense.
   */
  recover(): number[];
  /** Takes a chain again that an earlier process had taken and not finished. Throws a VirtqueueError. */
  resubmit(entry: number, chain: DescriptorChain): void;
  /** Returns a chain by its head; the driver sees it after `publish`. `written` in bytes. As `drop`, returns its cost. */
  push(head: number, written: number): number;
  /** Undoes the last `pop`, whose chain had this head: the next one returns it again. */
  undo(head: number): number;
  /** Forgets a chain: the driver never hears of it again. Returns what it cost; 0, and nothing is done, if it is not taken. */
  drop(head: number): number;
  /**
   * Shows the driver what was pushed; returns whether it wants to be signalled. With `more`, another call follows before
   * anything is waited for: the driver is asked only then, about all that was shown since it was asked.
   */
  publish(more: boolean): boolean;
  /**
   * Marks the ring's own memory that was written, for a migration: which of its few pages is not worth knowing.
   * `logAddress` is what SET_VRING_ADDR says, guest-physical.
   */
  markWritten(log: DirtyLog, logAddress: number): void;
  /** Tells the driver that kicks are not needed now. */
  pauseKicks(): void;
  /** Asks for kicks again; returns true when chains came meanwhile, for which no kick will come. */
  awaitKicks(): boolean;
}
