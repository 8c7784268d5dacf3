/**
 * Writes of whole blocks go side by side; one that must first read what surrounds it goes alone, so that no write
 * of the same block is lost between its read and its write.
 */

export class WriteGate {
  private running = 0;
  private exclusive = false;
  private readonly waiting: { readonly alone: boolean; readonly start: () => void }[] = [];

  /** Calls `start` when its turn has come, possibly at once; it calls `leave` when it is done. */
  enter(alone: boolean, start: () => void): void {
    if (this.waiting.length > 0 || !this.admits(alone)) {
      this.waiting.push({ alone, start });
      return;
    }
    this.begin(alone, start);
  }

  leave(): void {
    this.running--;
    this.exclusive = false;
    while (this.waiting.length > 0 && this.admits(this.waiting[0].alone)) {
      const { alone, start } = this.waiting.shift()!;
      this.begin(alone, start);
    }
  }

  private admits(alone: boolean): boolean {
    return !this.exclusive && (!alone || this.running === 0);
  }

  private begin(alone: boolean, start: () => void): void {
    this.running++;
    this.exclusive = alone;
    start();
  }
}
