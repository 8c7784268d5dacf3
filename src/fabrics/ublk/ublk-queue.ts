/**
 * The one queue of a ublk device: a command waits in the kernel for each tag and comes back with a request, whose
 * descriptor the driver has written; it goes back with the result, to wait for the next. Data lies in the tag's own
 * buffer: the driver has copied it there for a write, and copies it from there after a read. With zero copy it stays
 * in the request's pages, which the driver lends to whoever moves it.
 */
import { type CommandOwner, CommandRing } from '../../native/command-ring.ts';
import type { KernelBuffers, Region, RegionMemory } from '../../native/memory.ts';
import { BlockError } from '../loopback/block-error.ts';
import type { BlockInitiator } from '../loopback/block-initiator.ts';
import { BlockKind, type BlockRequest } from '../loopback/block-request.ts';
import {
  BUFFER_OFFSET,
  BUFFER_STRIDE,
  IoCommand,
  IoDescriptor,
  OPERATION_MASK,
  Operation,
  OperationFlag,
  SECTOR,
} from './ublk-spec.ts';

/** Requests at a time. */
export const QUEUE_DEPTH = 128;
/** Bytes that one request can carry; only touched parts of the buffers use memory. */
export const MAX_IO_BYTES = 512 << 10;

const NO_REGION = -1;
const TWO_32 = 2 ** 32;
/** Block layers know a reservation conflict by this number. */
const EBADE = 52;

/** By operation. */
const KINDS: readonly (BlockKind | undefined)[] = (() => {
  const kinds: (BlockKind | undefined)[] = [];
  kinds[Operation.READ] = BlockKind.READ;
  kinds[Operation.WRITE] = BlockKind.WRITE;
  kinds[Operation.FLUSH] = BlockKind.FLUSH;
  kinds[Operation.DISCARD] = BlockKind.DISCARD;
  kinds[Operation.WRITE_ZEROES] = BlockKind.WRITE_ZEROES;
  return kinds;
})();

function kernelBuffers(fd: number): KernelBuffers {
  return {
    fd,
    count: QUEUE_DEPTH,
    each: MAX_IO_BYTES,
    borrow: IoCommand.REGISTER_IO_BUF,
    giveBack: IoCommand.UNREGISTER_IO_BUF,
    fileOffset: BUFFER_OFFSET,
    fileStride: BUFFER_STRIDE,
  };
}

/** What the queue needs of a ring; tests have one without a kernel behind it. */
export type QueueRing = Pick<CommandRing, 'send' | 'close'>;

export class UblkQueue implements CommandOwner {
  /** Resolves when the driver has taken every command back: the device is stopped. */
  readonly ended: Promise<void>;
  private readonly fd: number;
  private readonly device: BlockInitiator;
  private readonly memory: RegionMemory;
  private readonly ring: QueueRing;
  /** To be unmapped. */
  private readonly regions: Region[] = [];
  private readonly buffers: Region;
  private readonly zeroCopy: boolean;
  private readonly descriptors: Uint32Array;
  private readonly requests: BlockRequest[] = [];
  /** Tags that the driver has taken back. */
  private retired = 0;
  private resolveEnded!: () => void;

  /** `fd` is /dev/ublkcN; it stays the caller's. `zeroCopy` as the device was made. Throws LunportError. */
  constructor(
    fd: number,
    device: BlockInitiator,
    memory: RegionMemory,
    zeroCopy: boolean,
    makeRing: (depth: number, owner: CommandOwner) => QueueRing = (depth, owner) =>
      new CommandRing(depth, owner),
  ) {
    this.fd = fd;
    this.device = device;
    this.memory = memory;
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    this.zeroCopy = zeroCopy;
    const words = QUEUE_DEPTH * IoDescriptor.WORDS;
    const name = 'the buffers of a ublk device';
    try {
      const descriptors = this.own(memory.mapReadOnly(fd, words * 4, 'the queue of a ublk device'));
      this.descriptors = memory.u32(descriptors, 0, words);
      this.buffers = this.own(
        zeroCopy
          ? memory.lend(kernelBuffers(fd), name)
          : memory.mapAnonymous(QUEUE_DEPTH * MAX_IO_BYTES, { name }),
      );
      this.ring = makeRing(QUEUE_DEPTH, this);
    } catch (error) {
      this.unmap();
      throw error;
    }
    for (let tag = 0; tag < QUEUE_DEPTH; tag++) {
      const request = device.request();
      request.owner = this;
      request.context = tag;
      this.requests.push(request);
    }
  }

  /** Gives the driver a command for each tag: it may send requests from now on. */
  start(): void {
    for (let tag = 0; tag < QUEUE_DEPTH; tag++) this.wait(tag, IoCommand.FETCH_REQ, 0);
  }

  /** Frees ring and memory; only when `ended`, or never started. */
  close(): void {
    this.ring.close();
    for (const request of this.requests) this.device.release(request);
    this.unmap();
  }

  commandDone(tag: number, result: number): void {
    if (result === 0) this.perform(tag);
    else if (++this.retired === QUEUE_DEPTH) this.resolveEnded();
  }

  blockRequestDone(request: BlockRequest): void {
    const { error, kind, length } = request;
    const moved = kind === BlockKind.READ || kind === BlockKind.WRITE ? length : 0;
    const failure = error === BlockError.EPERM ? EBADE : error;
    this.wait(
      request.context as number,
      IoCommand.COMMIT_AND_FETCH_REQ,
      error === BlockError.NONE ? moved : -failure,
    );
  }

  private own(region: Region): Region {
    this.regions.push(region);
    return region;
  }

  private unmap(): void {
    for (const region of this.regions) this.memory.unmap(region);
  }

  private wait(tag: number, command: number, result: number): void {
    const { ring, fd, buffers, zeroCopy } = this;
    const region = zeroCopy ? NO_REGION : buffers.id;
    ring.send(tag, fd, command, tag * 0x1_0000, result, region, tag * MAX_IO_BYTES, MAX_IO_BYTES, 0);
  }

  private perform(tag: number): void {
    const { descriptors } = this;
    const at = tag * IoDescriptor.WORDS;
    const flags = descriptors[at + IoDescriptor.OP_FLAGS];
    const kind = KINDS[flags & OPERATION_MASK];
    if (kind === undefined) {
      this.wait(tag, IoCommand.COMMIT_AND_FETCH_REQ, -BlockError.EOPNOTSUPP);
      return;
    }
    const request = this.requests[tag];
    const start =
      descriptors[at + IoDescriptor.START_HIGH] * TWO_32 + descriptors[at + IoDescriptor.START_LOW];
    request.kind = kind;
    request.offset = start * SECTOR;
    request.length = kind === BlockKind.FLUSH ? 0 : descriptors[at + IoDescriptor.SECTORS] * SECTOR;
    request.forceUnitAccess = (flags & OperationFlag.FUA) !== 0;
    request.mayUnmap = (flags & OperationFlag.NOUNMAP) === 0;
    request.data.clear();
    if (request.length > 0 && (kind === BlockKind.READ || kind === BlockKind.WRITE)) {
      request.data.add(this.buffers.id, tag * MAX_IO_BYTES, request.length);
    }
    request.start();
  }
}
