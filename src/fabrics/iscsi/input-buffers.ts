/**
 * Where connections receive into, one at a time: pooled memory that the core can name. A write whose data came whole
 * with its header runs on the buffer that it was received in, without a copy and without an object; the buffer is
 * used again when the last such write is over.
 */
import type { Memory, Scratch } from '../../scsi/environment.ts';

/** Bytes that one receive takes at most, besides data that go straight to their command. */
const LENGTH = 64 << 10;
/** Buffers that writes may keep; beyond them, data is copied. A write of 512 bytes keeps a whole one. */
const MAX_KEPT = 64;

export class InputBuffer {
  readonly scratch: Scratch;
  users = 0;

  constructor(scratch: Scratch) {
    this.scratch = scratch;
  }
}

export class InputBuffers {
  private readonly memory: Memory;
  private readonly free: InputBuffer[] = [];
  private readonly all: InputBuffer[] = [];
  private now: InputBuffer;

  constructor(memory: Memory) {
    this.memory = memory;
    this.now = this.make();
  }

  /** The bytes to receive into next. */
  next(): Uint8Array {
    if (this.now.users > 0) this.now = this.free.pop() ?? this.make();
    return this.now.scratch.bytes;
  }

  /** Keeps the buffer as it is, if `bytes` is what was received into last and there are others; else undefined. */
  keep(bytes: Uint8Array): InputBuffer | undefined {
    const { now } = this;
    if (bytes !== now.scratch.bytes) return undefined;
    if (now.users === 0 && this.free.length === 0 && this.all.length > MAX_KEPT) return undefined;
    now.users++;
    return now;
  }

  /** Takes back what `keep` gave. */
  giveBack(buffer: InputBuffer): void {
    if (--buffer.users === 0 && buffer !== this.now) this.free.push(buffer);
  }

  /** Nobody receives or keeps anything any more. */
  close(): void {
    for (const { scratch } of this.all.splice(0)) this.memory.release(scratch);
  }

  private make(): InputBuffer {
    const buffer = new InputBuffer(this.memory.allocate(LENGTH, true));
    this.all.push(buffer);
    return buffer;
  }
}
