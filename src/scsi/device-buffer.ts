/**
 * The buffers that WRITE BUFFER and READ BUFFER move data through to test a path (SPC-4 6.22, 6.49): one data
 * buffer, and an echo buffer of its own for every initiator.
 */
import type { ItlNexus } from './nexus.ts';

/** Bytes. */
export const DATA_BUFFER_CAPACITY = 65536;
/** Bytes; the descriptor's field has 13 bits. */
export const ECHO_BUFFER_CAPACITY = 4096;

export class DeviceBuffer {
  private data: Uint8Array | undefined;
  private readonly echoes = new WeakMap<ItlNexus, Uint8Array>();

  /** Made when it is first used: most units never need it. */
  get bytes(): Uint8Array {
    this.data ??= new Uint8Array(DATA_BUFFER_CAPACITY);
    return this.data;
  }

  /** What this initiator wrote into its echo buffer last. */
  echo(itl: ItlNexus): Uint8Array | undefined {
    return this.echoes.get(itl);
  }

  setEcho(itl: ItlNexus, bytes: Uint8Array): void {
    this.echoes.set(itl, bytes);
  }
}
