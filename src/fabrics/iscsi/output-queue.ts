/**
 * What a connection still has to send: headers and small data copied into slabs, large data as references. One call
 * sends as much as the socket takes. Nothing is allocated once the queue and the pool have grown to their size.
 */
import { copyBytes } from '../../native/memory.ts';
import { ChunkList, type StreamSocket } from '../../native/stream-socket.ts';

const SLAB = 16 << 10;
/** Slabs kept for reuse by all connections. */
const MAX_KEPT = 256;
/** Slabs in use beyond which they are scarce: 128 MiB. */
const MAX_TAKEN = 8192;
/** Entries sent and still at the front of the queue before the others move up. */
const MAX_SENT = 1024;

export interface SendOwner {
  /** The referenced data has been sent, or never will be: its memory is free. */
  sent(): void;
}

/** Slabs that all connections of a node share: an idle connection holds none. */
export class SlabPool {
  private readonly free: Uint8Array[] = [];
  private taken = 0;

  /** Whether so much waits to be sent, on all connections, that none may have much of it. */
  get scarce(): boolean {
    return this.taken > MAX_TAKEN;
  }

  take(): Uint8Array {
    this.taken++;
    return this.free.pop() ?? new Uint8Array(SLAB);
  }

  give(slab: Uint8Array): void {
    this.taken--;
    if (this.free.length < MAX_KEPT) this.free.push(slab);
  }
}

const NOTHING = new Uint8Array(0);

export class OutputQueue {
  /** Bytes that wait. */
  length = 0;
  private readonly pool: SlabPool;
  /** In the order of the queue; the last one is being filled. */
  private readonly slabs: Uint8Array[] = [];
  private slab: Uint8Array = NOTHING;
  private slabFill = 0;
  // Entries [first, last): ranges of bytes, and whom to tell when one has been sent.
  private readonly chunks: Uint8Array[] = [];
  private readonly offsets: number[] = [];
  private readonly lengths: number[] = [];
  private readonly owners: (SendOwner | undefined)[] = [];
  private first = 0;
  private last = 0;

  constructor(pool: SlabPool) {
    this.pool = pool;
  }

  /** Copies bytes[at, at+length) to the end of the queue. */
  copy(bytes: Uint8Array, at: number, length: number): void {
    for (; length > SLAB; at += SLAB, length -= SLAB) this.copy(bytes, at, SLAB);
    if (this.slabFill + length > this.slab.length) {
      this.slab = this.pool.take();
      this.slabs.push(this.slab);
      this.slabFill = 0;
    }
    copyBytes(bytes, at, this.slab, this.slabFill, length);
    const previous = this.last - 1;
    if (previous >= this.first && this.chunks[previous] === this.slab) {
      this.lengths[previous] += length;
      this.length += length;
    } else this.reference(this.slab, this.slabFill, length, undefined);
    this.slabFill += length;
  }

  /** Puts bytes[at, at+length) at the end of the queue; they must stay as they are until `owner` hears of it. */
  reference(bytes: Uint8Array, at: number, length: number, owner: SendOwner | undefined): void {
    const { last } = this;
    this.chunks[last] = bytes;
    this.offsets[last] = at;
    this.lengths[last] = length;
    this.owners[last] = owner;
    this.last = last + 1;
    this.length += length;
  }

  /** Sends what can be sent: 0, or a negative errno. `list` is room to work in. */
  flush(socket: StreamSocket, list: ChunkList): number {
    while (this.first < this.last) {
      list.count = 0;
      const end = Math.min(this.last, this.first + ChunkList.CAPACITY);
      let offered = 0;
      for (let i = this.first; i < end; i++) {
        list.add(this.chunks[i], this.offsets[i], this.lengths[i]);
        offered += this.lengths[i];
      }
      const sent = socket.send(list);
      if (sent < 0) return sent;
      this.consume(sent);
      // The rest would be refused.
      if (sent < offered) return 0;
    }
    return 0;
  }

  /** Nothing will be sent any more. */
  abandon(): void {
    while (this.length > 0) this.consume(this.length);
  }

  private consume(count: number): void {
    this.length -= count;
    while (this.first < this.last && count >= this.lengths[this.first]) {
      const { first } = this;
      const owner = this.owners[first];
      count -= this.lengths[first];
      // Entries lie in the order of their slabs: with the first of a slab, the one before is done with.
      if (this.slabs.length > 1 && this.chunks[first] === this.slabs[1]) this.pool.give(this.slabs.shift()!);
      this.chunks[first] = NOTHING;
      this.owners[first] = undefined;
      this.first = first + 1;
      // It may add to the queue.
      owner?.sent();
    }
    if (count > 0) {
      this.offsets[this.first] += count;
      this.lengths[this.first] -= count;
    }
    if (this.first === this.last) this.empty();
    else if (this.first > MAX_SENT) this.moveUp();
  }

  private empty(): void {
    this.first = 0;
    this.last = 0;
    this.slab = NOTHING;
    this.slabFill = 0;
    while (this.slabs.length > 0) this.pool.give(this.slabs.pop()!);
  }

  /** A queue that is never empty must not grow for ever. */
  private moveUp(): void {
    const { first, chunks, offsets, lengths, owners } = this;
    chunks.splice(0, first);
    offsets.splice(0, first);
    lengths.splice(0, first);
    owners.splice(0, first);
    this.first = 0;
    this.last -= first;
  }
}
