/** Connections with something to send are flushed once per batch of completions, and not once per PDU. */
import type { BatchEndListener, IoEngine } from '../../native/io-engine.ts';

export interface Flushable {
  /** Whether it waits for the end of the batch. */
  dirty: boolean;
  flush(): void;
}

export class OutputBatch implements BatchEndListener {
  private readonly engine: IoEngine | undefined;
  private readonly dirty: Flushable[] = [];
  private dirtyCount = 0;
  private scheduled = false;
  private flushing = false;

  /** Without an engine, as in tests of the fabric alone, every round of the event loop is a batch. */
  constructor(engine: IoEngine | undefined) {
    this.engine = engine;
    engine?.addBatchEndListener(this);
  }

  close(): void {
    this.engine?.removeBatchEndListener(this);
  }

  /** Commands follow, and after them `run`. For callbacks of the event loop only. */
  begin(): void {
    this.engine?.beginBatch();
  }

  /** Starts what the commands queued, and sends what there is to say by then. */
  run(): void {
    if (this.engine === undefined) this.batchEnded();
    else this.engine.run();
  }

  mark(output: Flushable): void {
    if (output.dirty) return;
    output.dirty = true;
    this.dirty[this.dirtyCount++] = output;
    if (this.scheduled || this.flushing || this.engine?.inBatch) return;
    this.scheduled = true;
    queueMicrotask(this.flushLater);
  }

  batchEnded(): void {
    this.flushing = true;
    // Flushing may end commands, and so mark further connections.
    for (let i = 0; i < this.dirtyCount; i++) {
      const output = this.dirty[i];
      output.dirty = false;
      output.flush();
    }
    this.dirtyCount = 0;
    this.flushing = false;
  }

  private readonly flushLater = (): void => {
    this.scheduled = false;
    this.batchEnded();
  };
}
