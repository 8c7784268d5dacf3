/** What the target adds to the core's Backstore: a life cycle, and words for people. */
import type { Backstore } from '../scsi/backstore.ts';

export interface OpenBackstore extends Backstore {
  /** Kind, path and I/O method for `lunport serve`'s output and the control socket. */
  describe(): BackstoreDescription;
  /** Looks at the backing again after it grew or shrank; true when `byteLength` changed. */
  refresh?(): Promise<boolean>;
  /** Makes it `size` bytes long, never shorter; absent where that cannot be. Throws LunportError. */
  resize?(size: number): Promise<void>;
  /** Waits for running operations, makes everything durable, gives the backing back. */
  close(): Promise<void>;
}

export interface BackstoreDescription {
  readonly kind: string;
  /** Absolute path, where there is one. */
  readonly path?: string;
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** QEMU's name for the cache mode: writeback, writethrough, none, directsync. */
  readonly cache?: string;
  /** How the bytes move: io_uring, threads, copy. */
  readonly io: string;
}
