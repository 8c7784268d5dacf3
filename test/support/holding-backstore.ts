/** A backstore before another one, which can be told to keep operations waiting: a disk that is slow, or dead. */
import type { Backstore, BackstoreCapabilities, BackstoreOperation } from '../../src/scsi/backstore.ts';
import { Outcome } from '../../src/scsi/backstore.ts';

export class HoldingBackstore implements Backstore {
  readonly name: string;
  /** While true, operations wait for `release`. */
  hold = false;
  /** Whether waiting operations obey `cancel`, as a system call that hangs does not. */
  cancellable = true;
  /** Claims to have so many bytes. */
  grown: number | undefined = undefined;
  readonly held: BackstoreOperation[] = [];
  private readonly inner: Backstore;

  constructor(inner: Backstore) {
    this.inner = inner;
    this.name = inner.name;
  }

  get capabilities(): BackstoreCapabilities {
    return this.inner.capabilities;
  }

  get byteLength(): number {
    return this.grown ?? this.inner.byteLength;
  }

  start(operation: BackstoreOperation): void {
    if (this.hold) this.held.push(operation);
    else this.inner.start(operation);
  }

  cancel(operation: BackstoreOperation): void {
    const index = this.held.indexOf(operation);
    if (index < 0 || !this.cancellable) return;
    this.held.splice(index, 1);
    operation.finish(Outcome.CANCELLED, 0);
  }

  /** Lets `count` held operations (default: all) run, oldest first. */
  release(count = this.held.length): void {
    for (const operation of this.held.splice(0, count)) this.inner.start(operation);
  }
}
