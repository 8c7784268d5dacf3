/** What a command has asked for with R2T and not yet received in full (RFC 7143 11.8). */

export interface Burst {
  /** TARGET TRANSFER TAG. */
  tag: number;
  /** Next byte expected, and the end of the burst. */
  position: number;
  end: number;
  dataSn: number;
}

export class Bursts {
  count = 0;
  /** The first `count` are open; the others are kept for the next ones. */
  private readonly bursts: Burst[] = [];

  open(tag: number, start: number, end: number): void {
    const burst = this.bursts[this.count];
    if (burst === undefined) this.bursts.push({ tag, position: start, end, dataSn: 0 });
    else {
      burst.tag = tag;
      burst.position = start;
      burst.end = end;
      burst.dataSn = 0;
    }
    this.count++;
  }

  find(tag: number): Burst | undefined {
    for (let i = 0; i < this.count; i++) if (this.bursts[i].tag === tag) return this.bursts[i];
    return undefined;
  }

  close(burst: Burst): void {
    const last = --this.count;
    const at = this.bursts.indexOf(burst);
    this.bursts[at] = this.bursts[last];
    this.bursts[last] = burst;
  }

  clear(): void {
    this.count = 0;
  }
}
