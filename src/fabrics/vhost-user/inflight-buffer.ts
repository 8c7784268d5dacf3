/**
 * The in-flight buffer as a whole: made here for a front-end that asks (GET_INFLIGHT_FD), or brought back by it
 * (SET_INFLIGHT_FD) to a process that may be another one than made it.
 *
 * QEMU 7.2 asks before SET_FEATURES, when nobody knows whether rings will be split or packed. So there is room for
 * either, and a ring says which it is when it starts.
 */
import { fstatSync } from 'node:fs';
import { addon } from '../../native/addon.ts';
import { checked } from '../../native/errno.ts';
import type { Region, RegionMemory } from '../../native/memory.ts';
import { InflightPacked } from './inflight-packed.ts';
import { INFLIGHT_ALIGNMENT } from './inflight-spec.ts';
import { InflightSplit } from './inflight-split.ts';
import type { InflightDescription } from './message.ts';
import { ProtocolError } from './protocol-error.ts';
import { checkSharedFile } from './shared-file.ts';
import { MAX_QUEUE_SIZE } from './split-virtqueue-spec.ts';

export class InflightBuffer {
  readonly description: InflightDescription;
  readonly region: Region;
  private readonly memory: RegionMemory;
  private readonly stride: number;

  /** The description of a new buffer, all zeroes, and its file, which the caller closes. */
  static create(
    queues: number,
    queueSize: number,
    maxQueues: number,
  ): { description: InflightDescription; fd: number } {
    checkCounts(queues, queueSize, maxQueues);
    const mmapSize = queues * packedStride(queueSize);
    // Sealed: the front-end cannot take the memory away from under us.
    const fd = addon.memfd('lunport-inflight', mmapSize, true);
    checked(fd, 'allocate', `an in-flight buffer of ${mmapSize} bytes`);
    return { description: { mmapSize, mmapOffset: 0, queues, queueSize }, fd };
  }

  /** A buffer from the front-end. The caller keeps `fd`. */
  static adopt(
    memory: RegionMemory,
    description: InflightDescription,
    fd: number,
    maxQueues: number,
  ): InflightBuffer {
    const { mmapSize, mmapOffset, queues, queueSize } = description;
    checkCounts(queues, queueSize, maxQueues);
    // One that was made for split rings only has less room for each.
    const room = Math.floor(mmapSize / queues / INFLIGHT_ALIGNMENT) * INFLIGHT_ALIGNMENT;
    const stride = Math.min(room, packedStride(queueSize));
    if (stride < InflightSplit.byteLength(queueSize)) {
      throw new ProtocolError(`in-flight buffer of ${mmapSize} bytes for ${queues} rings of ${queueSize}`);
    }
    const used = queues * stride;
    if (mmapOffset % 4096 !== 0)
      throw new ProtocolError(`in-flight buffer at unaligned offset ${mmapOffset}`);
    checkSharedFile(fd, 'the in-flight buffer');
    const { size } = fstatSync(fd);
    if (size < mmapOffset + used) {
      throw new ProtocolError(`in-flight buffer ends at byte ${mmapOffset + used} of a file of ${size}`);
    }
    return new InflightBuffer(memory, { ...description, mmapSize: used }, fd);
  }

  private constructor(memory: RegionMemory, description: InflightDescription, fd: number) {
    this.memory = memory;
    this.description = description;
    this.stride = description.mmapSize / description.queues;
    this.region = memory.map(fd, description.mmapOffset, description.mmapSize, {
      name: 'the in-flight buffer',
    });
  }

  /** The tracker of ring `index`; undefined for a ring that the buffer has no room for. */
  split(index: number, size: number): InflightSplit | undefined {
    if (!this.covers(index, size)) return undefined;
    return new InflightSplit(this.region.window(0).buffer, index * this.stride, size);
  }

  /** The same for a packed ring. */
  packed(index: number, size: number): InflightPacked | undefined {
    if (!this.covers(index, size)) return undefined;
    if (this.stride < InflightPacked.byteLength(size)) {
      throw new ProtocolError(
        `in-flight buffer with ${this.stride} bytes for packed ring ${index} of ${size}`,
      );
    }
    return new InflightPacked(this.region.window(0).buffer, index * this.stride, size);
  }

  /** After a reset nothing is in flight, and rings start at their beginning: as made. */
  clear(): void {
    new Uint8Array(this.region.window(0).buffer, 0, this.description.mmapSize).fill(0);
  }

  private covers(index: number, size: number): boolean {
    const { queues, queueSize } = this.description;
    if (size > queueSize)
      throw new ProtocolError(`ring ${index} of ${size}, its in-flight buffer is for ${queueSize}`);
    return index < queues;
  }

  /** Unmaps it; nothing may use it any more. */
  close(): void {
    this.memory.unmap(this.region);
  }
}

/** Bytes per ring of what is made here: a packed ring needs more than a split one. */
function packedStride(queueSize: number): number {
  return aligned(InflightPacked.byteLength(queueSize));
}

function aligned(length: number): number {
  return Math.ceil(length / INFLIGHT_ALIGNMENT) * INFLIGHT_ALIGNMENT;
}

function checkCounts(queues: number, queueSize: number, maxQueues: number): void {
  if (queues < 1 || queues > maxQueues || queueSize < 1 || queueSize > MAX_QUEUE_SIZE) {
    throw new ProtocolError(
      `in-flight buffer for ${queues} rings of ${queueSize}, expected 1 to ${maxQueues} of 1 to ${MAX_QUEUE_SIZE}`,
    );
  }
}
