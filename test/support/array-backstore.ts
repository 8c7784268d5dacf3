/** A backstore in a plain array, for tests of the core; it can be told to be slow, to fail, or to be thin. */
import {
  type Backstore,
  type BackstoreCapabilities,
  type BackstoreOperation,
  type BackstoreSpace,
  OperationKind,
  Outcome,
} from '../../src/scsi/backstore.ts';
import type { HeapMemory } from './heap-memory.ts';

export interface Fault {
  readonly kind: OperationKind;
  readonly outcome: Outcome;
  /** Only operations that touch this byte; default: all. */
  readonly at?: number;
}

export class ArrayBackstore implements Backstore {
  readonly name = 'array';
  capabilities: BackstoreCapabilities;
  bytes: Uint8Array;
  /** Operations started, in order, for tests that look at them. */
  readonly log: { kind: OperationKind; offset: number; length: number; fua: boolean }[] = [];
  /** While true, operations wait until `releaseHeld`. */
  hold = false;
  readonly held: BackstoreOperation[] = [];
  fault: Fault | undefined = undefined;
  space: (() => BackstoreSpace) | undefined = undefined;
  private readonly memory: HeapMemory;
  private readonly mapped: Set<number> = new Set();

  constructor(memory: HeapMemory, byteLength: number, capabilities: Partial<BackstoreCapabilities> = {}) {
    this.memory = memory;
    this.bytes = new Uint8Array(byteLength);
    this.capabilities = {
      readOnly: false,
      volatileCache: true,
      unmap: true,
      unmapReadsZero: true,
      unmapGranularity: 512,
      writeZeroes: true,
      physicalBlockSize: 512,
      rotational: false,
      ...capabilities,
    };
  }

  get byteLength(): number {
    return this.bytes.length;
  }

  start(operation: BackstoreOperation): void {
    this.log.push({
      kind: operation.kind,
      offset: operation.offset,
      length: operation.length,
      fua: operation.forceUnitAccess,
    });
    if (this.hold) this.held.push(operation);
    else this.perform(operation);
  }

  cancel(operation: BackstoreOperation): void {
    const index = this.held.indexOf(operation);
    if (index < 0) return;
    this.held.splice(index, 1);
    operation.finish(Outcome.CANCELLED, 0);
  }

  /** Lets `count` held operations (default: all) run, oldest first. */
  releaseHeld(count = this.held.length): void {
    for (const operation of this.held.splice(0, count)) this.perform(operation);
  }

  extent(offset: number): { mapped: boolean; end: number } {
    const unit = 512;
    const mapped = this.mapped.has(Math.floor(offset / unit));
    let end = (Math.floor(offset / unit) + 1) * unit;
    while (end < this.byteLength && this.mapped.has(end / unit) === mapped) end += unit;
    return { mapped, end: Math.min(end, this.byteLength) };
  }

  private perform(operation: BackstoreOperation): void {
    const { fault } = this;
    const { kind, offset, length } = operation;
    if (fault !== undefined && fault.kind === kind) {
      const at = fault.at ?? offset;
      if (at >= offset && at < offset + Math.max(length, 1))
        return operation.finish(fault.outcome, at - offset);
    }
    if (offset + length > this.byteLength) return operation.finish(Outcome.GONE, 0);
    switch (kind) {
      case OperationKind.READ:
      case OperationKind.WRITE:
        this.move(operation);
        break;
      case OperationKind.UNMAP:
      case OperationKind.WRITE_ZEROES:
        this.bytes.fill(0, offset, offset + length);
        break;
      default:
      // Nothing to flush, nothing to fetch.
    }
    for (let unit = Math.floor(offset / 512); unit * 512 < offset + length; unit++) {
      if (kind === OperationKind.UNMAP) this.mapped.delete(unit);
      else if (kind === OperationKind.WRITE || kind === OperationKind.WRITE_ZEROES) this.mapped.add(unit);
    }
    operation.finish(Outcome.GOOD, length);
  }

  private move(operation: BackstoreOperation): void {
    let done = 0;
    operation.segments!.eachPart(operation.segmentsOffset, operation.length, (region, offset, at, part) => {
      const guest = this.memory.bytes(region).subarray(offset, offset + part);
      const disk = this.bytes.subarray(operation.offset + at, operation.offset + at + part);
      if (operation.kind === OperationKind.READ) guest.set(disk);
      else disk.set(guest);
      done += part;
    });
    if (done < operation.length) throw new RangeError('the segment list is shorter than the operation');
  }
}
