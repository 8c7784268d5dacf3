/** Bytes of data buffers that the connections of a server hold together. Each may always have those of one request. */

/** Bytes; what one more request of a connection that has none adds comes on top. */
const TOTAL = 1 << 30;

export interface BudgetWaiter {
  /** Others gave bytes back. */
  budgetFreed(): void;
}

export class BufferBudget {
  private used = 0;
  private readonly total: number;
  private readonly waiting = new Set<BudgetWaiter>();

  constructor(total = TOTAL) {
    this.total = total;
  }

  get exhausted(): boolean {
    return this.used >= this.total;
  }

  take(bytes: number): void {
    this.used += bytes;
  }

  giveBack(bytes: number): void {
    this.used -= bytes;
    if (this.exhausted || this.waiting.size === 0) return;
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const waiter of waiting) waiter.budgetFreed();
  }

  /** `waiter` hears once of bytes that came back. */
  wait(waiter: BudgetWaiter): void {
    this.waiting.add(waiter);
  }

  forget(waiter: BudgetWaiter): void {
    this.waiting.delete(waiter);
  }
}
