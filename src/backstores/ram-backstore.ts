/**
 * `ram:SIZE`: blocks in anonymous memory, gone when the process ends. Copies go through the io engine,
 * so a batch of READs costs one native call. Unmapped ranges give their memory back.
 */
import type { IoEngine, IoOwner } from '../native/io-engine.ts';
import type { Region, RegionMemory } from '../native/memory.ts';
import {
  type BackstoreCapabilities,
  type BackstoreOperation,
  OperationKind,
  Outcome,
} from '../scsi/backstore.ts';
import { GranuleMap } from './granule-map.ts';
import type { BackstoreDescription, OpenBackstore } from './open-backstore.ts';
import { outcomeOf } from './outcome.ts';

/** Bytes: a page, below which no memory is given back. */
const GRANULE = 4096;

/** Pooled: the engine's side of one operation. */
class RamRequest implements IoOwner {
  operation: BackstoreOperation | undefined = undefined;
  private readonly backstore: RamBackstore;

  constructor(backstore: RamBackstore) {
    this.backstore = backstore;
  }

  ioCompleted(result: number): void {
    const operation = this.operation!;
    this.operation = undefined;
    this.backstore.release(this);
    if (result < 0) operation.finish(outcomeOf(-result), 0);
    else operation.finish(Outcome.GOOD, operation.length);
  }
}

export class RamBackstore implements OpenBackstore {
  readonly name: string;
  readonly byteLength: number;
  readonly capabilities: BackstoreCapabilities;
  private readonly engine: IoEngine;
  private readonly memory: RegionMemory;
  private readonly region: Region;
  private readonly granules: GranuleMap;
  private readonly free: RamRequest[] = [];
  /** A command that goes on in the background, such as SANITIZE, may still come. */
  private closed = false;

  /** `byteLength` in bytes. Throws when the memory cannot be had. */
  constructor(name: string, byteLength: number, engine: IoEngine, memory: RegionMemory, readOnly = false) {
    this.name = name;
    this.byteLength = byteLength;
    this.engine = engine;
    this.memory = memory;
    this.capabilities = {
      readOnly,
      volatileCache: false,
      unmap: true,
      unmapReadsZero: true,
      unmapGranularity: GRANULE,
      writeZeroes: true,
      physicalBlockSize: 4096,
      rotational: false,
      volatile: true,
    };
    this.granules = new GranuleMap(byteLength, GRANULE);
    this.region = memory.mapAnonymous(byteLength, { hugepages: true, name });
  }

  start(operation: BackstoreOperation): void {
    const { kind, offset, length } = operation;
    if (this.closed) {
      operation.finish(Outcome.GONE, 0);
      return;
    }
    switch (kind) {
      case OperationKind.READ:
        this.engine.ramRead(
          this.region.id,
          offset,
          length,
          operation.segments!,
          operation.segmentsOffset,
          this.request(operation),
        );
        return;
      case OperationKind.WRITE:
        this.granules.map(offset, length);
        this.engine.ramWrite(
          this.region.id,
          offset,
          length,
          operation.segments!,
          operation.segmentsOffset,
          this.request(operation),
        );
        return;
      case OperationKind.UNMAP:
      case OperationKind.WRITE_ZEROES:
        if (kind === OperationKind.UNMAP) this.granules.unmap(offset, length);
        else this.granules.map(offset, length);
        this.engine.ramZero(this.region.id, offset, length, this.request(operation));
        return;
      default:
        // Flush and prefetch: memory is as stable as this backstore gets, and always at hand.
        operation.finish(Outcome.GOOD, length);
    }
  }

  extent(offset: number): { mapped: boolean; end: number } {
    return this.granules.extent(offset);
  }

  cancel(): void {
    // Copies finish within the batch that starts them.
  }

  release(request: RamRequest): void {
    this.free.push(request);
  }

  describe(): BackstoreDescription {
    return { kind: 'ram', size: this.byteLength, readOnly: this.capabilities.readOnly, io: 'copy' };
  }

  async close(): Promise<void> {
    this.closed = true;
    this.memory.unmap(this.region);
  }

  private request(operation: BackstoreOperation): RamRequest {
    const request = this.free.pop() ?? new RamRequest(this);
    request.operation = operation;
    return request;
  }
}
