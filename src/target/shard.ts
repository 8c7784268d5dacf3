/**
 * A shard: one event loop with everything a data path needs, its io engine and its memory. Logical units and all
 * controllers that see them live on the same shard, so the core needs no locks.
 */
import { RingPoller } from '../fabrics/vhost-user/ring-poller.ts';
import { IoEngine } from '../native/io-engine.ts';
import { RegionMemory } from '../native/memory.ts';
import type { Environment } from '../scsi/environment.ts';

export type IoMode = 'auto' | 'io_uring' | 'threads';

export class Shard {
  readonly memory: RegionMemory;
  readonly engine: IoEngine;
  /** Undefined when nothing is to spin. */
  readonly poller: RingPoller | undefined;
  readonly environment: Environment;

  /**
   * `defect` hears of exceptions of our own making, which cost one command and not the process. `pollMicroseconds`:
   * see RingPoller.
   */
  constructor(mode: IoMode = 'auto', defect?: (error: unknown) => void, pollMicroseconds = 0) {
    this.memory = new RegionMemory();
    this.engine = new IoEngine({ mode, defect });
    this.poller = pollMicroseconds > 0 ? new RingPoller(this.engine, pollMicroseconds) : undefined;
    this.environment = {
      memory: this.memory,
      now: () => Date.now(),
      after: (milliseconds, callback) => {
        const timer = setTimeout(callback, milliseconds);
        timer.unref();
        return { cancel: () => clearTimeout(timer) };
      },
      defect,
    };
  }

  /** Waits for what runs, then frees the ring. Disks and controllers must be closed first. */
  async close(): Promise<void> {
    await this.engine.drain();
    this.engine.close();
  }
}
