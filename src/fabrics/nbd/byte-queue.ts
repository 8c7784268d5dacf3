/** What a socket has brought and nobody has taken yet: whole headers, or payload straight to where it belongs. */

export class ByteQueue {
  private readonly chunks: Buffer[] = [];
  /** Bytes of the first chunk that are taken already. */
  private taken = 0;
  /** Bytes that wait. */
  length = 0;

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.chunks.push(chunk);
    this.length += chunk.length;
  }

  /** Exactly `length` bytes, or undefined while fewer are here. The result is good until the next call. */
  take(length: number): Buffer | undefined {
    if (this.length < length) return undefined;
    const [first] = this.chunks;
    if (first !== undefined && first.length - this.taken >= length) {
      const bytes = first.subarray(this.taken, this.taken + length);
      this.drop(length);
      return bytes;
    }
    const bytes = Buffer.allocUnsafe(length);
    this.moveTo(bytes, 0, length);
    return bytes;
  }

  /** Moves up to `length` bytes to `into[at…]`; returns how many there were. */
  moveTo(into: Uint8Array, at: number, length: number): number {
    let moved = 0;
    while (moved < length && this.chunks.length > 0) {
      const first = this.chunks[0];
      const part = Math.min(length - moved, first.length - this.taken);
      into.set(first.subarray(this.taken, this.taken + part), at + moved);
      moved += part;
      this.drop(part);
    }
    return moved;
  }

  /** Forgets up to `length` bytes; returns how many there were. */
  skip(length: number): number {
    let skipped = 0;
    while (skipped < length && this.chunks.length > 0) {
      const part = Math.min(length - skipped, this.chunks[0].length - this.taken);
      skipped += part;
      this.drop(part);
    }
    return skipped;
  }

  /** Copies what waits of the chunk that came last: its memory will be used again. */
  keep(): void {
    const last = this.chunks.length - 1;
    if (last < 0) return;
    const from = last === 0 ? this.taken : 0;
    this.chunks[last] = Buffer.from(this.chunks[last].subarray(from));
    if (last === 0) this.taken = 0;
  }

  private drop(bytes: number): void {
    this.length -= bytes;
    this.taken += bytes;
    if (this.taken < this.chunks[0].length) return;
    this.chunks.shift();
    this.taken = 0;
  }
}
