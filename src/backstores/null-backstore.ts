/**
 * `null:SIZE`: completes everything at once and moves nothing, as SPDK's null device and LIO's nullio do. What a
 * READ finds in its buffer is what the initiator had there before. For measuring everything above a backstore.
 */
import type { BackstoreCapabilities, BackstoreOperation } from '../scsi/backstore.ts';
import { Outcome } from '../scsi/backstore.ts';
import type { BackstoreDescription, OpenBackstore } from './open-backstore.ts';

const { GOOD } = Outcome;

export class NullBackstore implements OpenBackstore {
  readonly name: string;
  readonly byteLength: number;
  readonly capabilities: BackstoreCapabilities;

  /** `byteLength` in bytes. */
  constructor(name: string, byteLength: number, readOnly = false) {
    this.name = name;
    this.byteLength = byteLength;
    this.capabilities = {
      readOnly,
      volatileCache: false,
      unmap: true,
      unmapReadsZero: false,
      unmapGranularity: 512,
      writeZeroes: true,
      physicalBlockSize: 4096,
      rotational: false,
      volatile: true,
    };
  }

  start(operation: BackstoreOperation): void {
    operation.finish(GOOD, operation.length);
  }

  cancel(): void {
    // Nothing is ever running.
  }

  describe(): BackstoreDescription {
    return { kind: 'null', size: this.byteLength, readOnly: this.capabilities.readOnly, io: 'none' };
  }

  async close(): Promise<void> {}
}
