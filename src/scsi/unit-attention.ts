/** Pending unit attention conditions of one I_T_L nexus, reported one at a time (SAM-5 5.14). */
import type { SenseCode } from './sense-spec.ts';

export class UnitAttentionQueue {
  /** Whether any is pending: the one thing the path of a READ looks at. */
  pending = false;
  private readonly queue: SenseCode[] = [];

  /**
   * Queues a condition; one that is pending already is not queued twice. Resets (29h) replace all else, since
   * whatever changed before them is implied by them (SAM-5 5.14, table 51).
   */
  establish(attention: SenseCode): void {
    if (this.queue.some((other) => other.code === attention.code)) return;
    if (attention.code >> 8 === 0x29) this.queue.length = 0;
    this.queue.push(attention);
    this.pending = true;
  }

  peek(): SenseCode | undefined {
    return this.queue[0];
  }

  /** Takes the oldest condition. */
  take(): SenseCode | undefined {
    const attention = this.queue.shift();
    this.pending = this.queue.length > 0;
    return attention;
  }

  /** Clears one kind, as REPORT LUNS does with 3F/0E. */
  clear(code: number): void {
    const index = this.queue.findIndex((attention) => attention.code === code);
    if (index >= 0) this.queue.splice(index, 1);
    this.pending = this.queue.length > 0;
  }

  clearAll(): void {
    this.queue.length = 0;
    this.pending = false;
  }
}
