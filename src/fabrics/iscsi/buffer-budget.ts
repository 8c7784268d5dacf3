/**
 * How many bytes of data buffers commands may hold, for one session and for all together. A command that finds no
 * room waits; one command per session always finds room, so that nobody can be starved by others.
 */

/** Bytes of data buffers of all sessions. */
const TOTAL = 1 << 30;
/** Bytes of data buffers of one session. */
const PER_SESSION = 64 << 20;

export interface BudgetClaimant {
  readonly bufferLength: number;
  /** Called once, at once or later: the bytes are the claimant's until it gives them back. */
  bufferGranted(): void;
}

/** What all sessions of a node share. */
export class TotalBudget {
  used = 0;
  /** Sessions with claimants that wait for others' bytes. */
  readonly waiting = new Set<BufferBudget>();
}

export class BufferBudget {
  private readonly total: TotalBudget;
  private used = 0;
  private readonly queue: BudgetClaimant[] = [];

  constructor(total: TotalBudget) {
    this.total = total;
  }

  get exhausted(): boolean {
    return this.queue.length > 0;
  }

  claim(claimant: BudgetClaimant): void {
    if (this.queue.length === 0 && this.fits(claimant.bufferLength)) this.grant(claimant);
    else {
      this.queue.push(claimant);
      this.total.waiting.add(this);
    }
  }

  giveBack(bytes: number): void {
    this.used -= bytes;
    this.total.used -= bytes;
    this.serve();
    if (this.total.waiting.size === 0) return;
    for (const other of [...this.total.waiting]) other.serve();
  }

  /** The session ends: nobody waits any more. */
  clear(): void {
    this.queue.length = 0;
    this.total.waiting.delete(this);
  }

  private fits(bytes: number): boolean {
    if (this.used === 0) return true;
    return this.used + bytes <= PER_SESSION && this.total.used + bytes <= TOTAL;
  }

  private grant(claimant: BudgetClaimant): void {
    this.used += claimant.bufferLength;
    this.total.used += claimant.bufferLength;
    claimant.bufferGranted();
  }

  private serve(): void {
    while (this.queue.length > 0 && this.fits(this.queue[0].bufferLength)) this.grant(this.queue.shift()!);
    if (this.queue.length === 0) this.total.waiting.delete(this);
  }
}
