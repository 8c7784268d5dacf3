/** What strangers can put into the log: as many as somebody can read, and the number of the others. */
const INTERVAL = 10_000;
const MAX_PER_INTERVAL = 10;

export class ComplaintLog {
  private readonly warn: (message: string) => void;
  private readonly now: () => number;
  private since = Number.NEGATIVE_INFINITY;
  private count = 0;
  private withheld = 0;

  /** `now` in milliseconds. */
  constructor(warn: (message: string) => void, now: () => number = Date.now) {
    this.warn = warn;
    this.now = now;
  }

  add(message: string): void {
    const now = this.now();
    if (now - this.since >= INTERVAL) {
      this.since = now;
      this.count = 0;
    }
    if (++this.count > MAX_PER_INTERVAL) {
      this.withheld++;
      return;
    }
    const more = this.withheld === 0 ? '' : ` (and ${this.withheld} more such messages before)`;
    this.withheld = 0;
    this.warn(message + more);
  }
}
