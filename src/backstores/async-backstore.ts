/**
 * A user's own kind of disk: plain async functions over bytes, fitted to the core's pooled interface. Twenty
 * lines of TypeScript make a disk; data is copied once more than with the built-in backstores.
 */
import {
  type BackstoreCapabilities,
  type BackstoreOperation,
  OperationKind,
  Outcome,
} from '../scsi/backstore.ts';
import type { Memory } from '../scsi/environment.ts';
import type { BackstoreDescription, OpenBackstore } from './open-backstore.ts';

export interface UserBackstore {
  /** Bytes; a multiple of the block size. */
  readonly byteLength: number;
  /** Resolves with exactly `length` bytes from byte `offset`. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** `data` is the backstore's to keep. Absent: the disk is read-only. */
  write?(offset: number, data: Uint8Array): Promise<void>;
  /** Makes completed writes durable. Absent: every write is durable when it resolves. */
  flush?(): Promise<void>;
  /** Forgets a range, which must read as zeroes from then on. */
  unmap?(offset: number, length: number): Promise<void>;
  close?(): Promise<void>;
}

export class AsyncBackstore implements OpenBackstore {
  readonly name: string;
  readonly capabilities: BackstoreCapabilities;
  private readonly user: UserBackstore;
  private readonly memory: Memory;
  private readonly running = new Set<Promise<void>>();
  private readonly report: (error: unknown) => void;
  /** A command that goes on in the background, such as SANITIZE, may still come. */
  private closing = false;

  /** `report` hears what the user's functions threw; the initiator gets a medium error. */
  constructor(name: string, user: UserBackstore, memory: Memory, report: (error: unknown) => void) {
    this.name = name;
    this.user = user;
    this.memory = memory;
    this.report = report;
    this.capabilities = {
      readOnly: user.write === undefined,
      volatileCache: user.flush !== undefined,
      unmap: user.unmap !== undefined,
      unmapReadsZero: user.unmap !== undefined,
      unmapGranularity: 512,
      writeZeroes: false,
      physicalBlockSize: 4096,
      rotational: false,
    };
  }

  get byteLength(): number {
    return this.user.byteLength;
  }

  start(operation: BackstoreOperation): void {
    if (this.closing) {
      operation.finish(Outcome.GONE, 0);
      return;
    }
    const work = this.perform(operation).then(
      (outcome) => operation.finish(outcome, outcome === Outcome.GOOD ? operation.length : 0),
      (error: unknown) => {
        this.report(error);
        operation.finish(Outcome.MEDIUM_ERROR, 0);
      },
    );
    this.running.add(work);
    void work.finally(() => this.running.delete(work));
  }

  cancel(): void {
    // A user's function cannot be stopped; the task waits for it.
  }

  describe(): BackstoreDescription {
    return { kind: 'user', size: this.byteLength, readOnly: this.capabilities.readOnly, io: 'async' };
  }

  /** Throws what the user's functions throw; the last of them is called in any case. */
  async close(): Promise<void> {
    this.closing = true;
    await Promise.all(this.running);
    try {
      await this.user.flush?.();
    } finally {
      await this.user.close?.();
    }
  }

  private async perform(operation: BackstoreOperation): Promise<Outcome> {
    const { offset, length } = operation;
    switch (operation.kind) {
      case OperationKind.READ: {
        const data = await this.user.read(offset, length);
        if (data.length !== length) throw new Error(`read(${offset}, ${length}) gave ${data.length} bytes`);
        this.scatter(operation, data);
        return Outcome.GOOD;
      }
      case OperationKind.WRITE:
        return this.write(operation, this.gather(operation));
      case OperationKind.WRITE_ZEROES:
        return this.write(operation, new Uint8Array(length));
      case OperationKind.UNMAP:
        await this.user.unmap?.(offset, length);
        if (operation.forceUnitAccess) await this.user.flush?.();
        return Outcome.GOOD;
      case OperationKind.FLUSH:
        await this.user.flush?.();
        return Outcome.GOOD;
      default:
        return Outcome.GOOD;
    }
  }

  private async write(operation: BackstoreOperation, data: Uint8Array): Promise<Outcome> {
    if (this.user.write === undefined) return Outcome.WRITE_PROTECTED;
    await this.user.write(operation.offset, data);
    if (operation.forceUnitAccess) await this.user.flush?.();
    return Outcome.GOOD;
  }

  private gather(operation: BackstoreOperation): Uint8Array {
    const data = new Uint8Array(operation.length);
    operation.segments!.eachPart(operation.segmentsOffset, operation.length, (region, offset, at, length) =>
      this.memory.read(region, offset, data, at, length),
    );
    return data;
  }

  private scatter(operation: BackstoreOperation, data: Uint8Array): void {
    operation.segments!.eachPart(operation.segmentsOffset, operation.length, (region, offset, at, length) =>
      this.memory.write(region, offset, data, at, length),
    );
  }
}
