/** What a virtio device does with the chains of one ring. */
import type { DescriptorChain } from './descriptor-chain.ts';
import type { Vring } from './vring.ts';

export interface VringHandler {
  /** Its chains are few, and taken however many others are in flight: one may be what ends those. */
  readonly urgent?: true;
  /** Works on a chain; gives it back with `vring.push`, now or later. `chain` is reused after this returns. */
  accept(vring: Vring, chain: DescriptorChain): void;
  /**
   * For rings whose chains are taken only when they are needed (`vring.take`): called when there may be some,
   * instead of `accept` for each. Returns whether the driver shall kick when it adds more.
   */
  available?(vring: Vring): boolean;
}
