/**
 * Completions come in batches; each ring with some is published and its driver signalled once, at the batch's
 * end. One of these per connection.
 */
import type { BatchEndListener, IoEngine } from '../../native/io-engine.ts';
import type { DirtyLog } from './dirty-log.ts';
import type { VirtqueueError } from './protocol-error.ts';
import type { RingPoller } from './ring-poller.ts';
import type { Vring } from './vring.ts';

/**
 * What all chains in flight may cost, in descriptors: 27,000 of a few descriptors, 504 of the most. More than drivers
 * ask for with rings of the usual 128, and less than 100 MiB of ours. What exceeds it stays in the rings until others end.
 */
const MAX_LOAD = 2 ** 19;

export interface BatchOwner {
  /** The driver broke the rules of a virtqueue. */
  ringBroken(vring: Vring, error: VirtqueueError): void;
  /** A defect of ours, met while the ring was served. */
  ringFailed(vring: Vring, error: unknown): void;
  /** The front-end made a signal to it wait, and with it everybody else. */
  obstructed(vring: Vring): void;
  /** The driver is to be signalled by message, if that is negotiated: buffers were used. */
  callInBand(vring: Vring): void;
  /** Likewise: the ring is broken. */
  errorInBand(vring: Vring): void;
  /** Where writes to guest memory are marked; undefined while nobody migrates. */
  readonly log: DirtyLog | undefined;
  /** Chains that were left in their rings may be taken now. */
  takeOn(): void;
  /** Called once per batch: whether the guest's memory is still there. */
  checkMemory(): void;
}

export class Batch implements BatchEndListener {
  /** Undefined where nobody spins. */
  readonly poller: RingPoller | undefined;
  /** Rings take nothing: what their requests are for is not there yet. */
  held = false;
  /** What the chains in flight cost. */
  load = 0;
  /** Chains were left in some ring, since there are enough in flight. */
  stalled = false;
  private readonly engine: IoEngine;
  private readonly owner: BatchOwner;
  private readonly dirty: Vring[] = [];
  private dirtyCount = 0;
  private flushQueued = false;
  private closed = false;

  constructor(engine: IoEngine, owner: BatchOwner, poller: RingPoller | undefined) {
    this.engine = engine;
    this.owner = owner;
    this.poller = poller;
    engine.addBatchEndListener(this);
  }

  /** Whether one more chain may be taken; who may not is asked again later. */
  get admits(): boolean {
    if (this.load < MAX_LOAD) return true;
    this.stalled = true;
    return false;
  }

  get log(): DirtyLog | undefined {
    return this.owner.log;
  }

  close(): void {
    this.closed = true;
    this.engine.removeBatchEndListener(this);
  }

  /** Tasks follow, and after them `run`. */
  begin(): void {
    this.engine.beginBatch();
  }

  /** Starts what the tasks of this round queued, and publishes what is complete already. */
  run(): void {
    this.engine.run();
    this.owner.checkMemory();
    this.batchEnded();
  }

  /** `vring` has something to publish. */
  mark(vring: Vring): void {
    if (vring.dirty) return;
    vring.dirty = true;
    this.dirty[this.dirtyCount++] = vring;
    // Tasks may also end outside of any batch: a user's backstore resolves its promises when it likes.
    if (this.flushQueued || this.engine.inBatch) return;
    this.flushQueued = true;
    queueMicrotask(this.flush);
  }

  batchEnded(): void {
    if (this.dirtyCount === 0) return;
    this.owner.checkMemory();
    for (let i = 0; i < this.dirtyCount; i++) {
      const vring = this.dirty[i];
      vring.dirty = false;
      vring.publish();
    }
    this.dirtyCount = 0;
    if (this.stalled && this.load < MAX_LOAD) {
      this.stalled = false;
      setImmediate(() => {
        if (!this.closed) this.owner.takeOn();
      });
    }
  }

  /** Lets other rings run, then looks at this one again. */
  later(vring: Vring): void {
    setImmediate(() => {
      if (!this.closed) vring.process();
    });
  }

  broken(vring: Vring, error: VirtqueueError): void {
    this.owner.ringBroken(vring, error);
  }

  defect(vring: Vring, error: unknown): void {
    this.owner.ringFailed(vring, error);
  }

  callInBand(vring: Vring): void {
    this.owner.callInBand(vring);
  }

  errorInBand(vring: Vring): void {
    this.owner.errorInBand(vring);
  }

  obstructed(vring: Vring): void {
    this.owner.obstructed(vring);
  }

  private readonly flush = (): void => {
    this.flushQueued = false;
    this.batchEnded();
  };
}
