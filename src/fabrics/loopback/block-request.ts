/**
 * One request of a block layer: a range of a disk to read, write, discard or zero, or a flush. It becomes as many
 * CDBs as the disk's limits ask for, and retries what only brought news. Pooled; a READ or WRITE allocates nothing.
 */
import { putU16, putU32, putU64 } from '../../scsi/bytes.ts';
import { execute } from '../../scsi/device-server.ts';
import type { Scratch } from '../../scsi/environment.ts';
import { SegmentList } from '../../scsi/segment-list.ts';
import { Status } from '../../scsi/status-spec.ts';
import { Task, type TaskOwner } from '../../scsi/task.ts';
import { manage, TaskManagementFunction } from '../../scsi/task-management.ts';
import { BlockError, informationOf, judge, Retry, type Verdict } from './block-error.ts';
import type { BlockInitiator } from './block-initiator.ts';

export const BlockKind = { READ: 0, WRITE: 1, FLUSH: 2, DISCARD: 3, WRITE_ZEROES: 4, CACHE: 5 } as const;
export type BlockKind = (typeof BlockKind)[keyof typeof BlockKind];

export interface BlockRequestOwner {
  /** Called exactly once per `start`, possibly before `start` returns. */
  blockRequestDone(request: BlockRequest): void;
}

/** By kind. */
const OPCODES = [0x88, 0x8a, 0x91, 0x42, 0x93, 0x90] as const;
const SYNCHRONIZE_CACHE = 0x91;
const FUA = 0x08;
/** WRITE SAME(16), byte 1. */
const UNMAP_BIT = 0x08;
const NDOB = 0x01;
const UNMAP_CDB_LENGTH = 10;
const CDB_LENGTH = 16;
/** UNMAP parameter list with one descriptor (SBC-3 5.28). */
const UNMAP_LIST_LENGTH = 24;

/** High half of the tags: the low half alone belongs to the initiator's other commands. */
const OWN_TAGS = 1;
/** Every kind of news can come at once, several times over when others reset the unit. */
const MAX_RETRIES_AT_ONCE = 32;
/** Milliseconds between tries, and how many: half a minute in all. */
const RETRY_DELAY = 50;
const MAX_RETRIES_LATER = 600;

export class BlockRequest implements TaskOwner {
  kind: BlockKind = BlockKind.READ;
  /** Bytes, both multiples of the block size. */
  offset = 0;
  length = 0;
  /** Done only when on stable storage: WRITE, DISCARD, WRITE_ZEROES. */
  forceUnitAccess = false;
  /** WRITE_ZEROES: blocks may be unmapped if they then read as zeroes. */
  mayUnmap = false;
  /** Where the data of READ and WRITE lies: `length` bytes. The owner fills it, and empties it before. */
  readonly data = new SegmentList(4);
  owner: BlockRequestOwner | undefined = undefined;
  /** For the owner's use. */
  context: unknown = undefined;
  /** How it ended. */
  error: BlockError = BlockError.NONE;
  /** Bytes from the disk's start: the block at which READ or WRITE failed; undefined when the disk does not tell. */
  failedAt: number | undefined = undefined;
  private readonly device: BlockInitiator;
  private readonly task: Task;
  /** Bytes of the range that are done, and that the next command does. */
  private position = 0;
  private step = 0;
  /** The range needs a SYNCHRONIZE CACHE behind it; and: it has come to that. */
  private syncDue = false;
  private syncing = false;
  private aborted = false;
  private retriesAtOnce = 0;
  private retriesLater = 0;
  private list: Scratch | undefined = undefined;
  /** A command may be sent. */
  private ready = false;
  private ended = false;
  /** Whether `pump` is on the stack: commands that end at once must not nest. */
  private pumping = false;

  constructor(device: BlockInitiator) {
    this.device = device;
    this.task = new Task(this);
  }

  start(): void {
    const { fua, volatileCache } = this.device.geometry;
    const isFlush = this.kind === BlockKind.FLUSH;
    this.error = BlockError.NONE;
    this.failedAt = undefined;
    this.position = isFlush ? this.length : 0;
    this.syncing = false;
    this.syncDue =
      isFlush || (this.forceUnitAccess && volatileCache && !(fua && this.kind === BlockKind.WRITE));
    this.aborted = false;
    this.retriesAtOnce = 0;
    this.retriesLater = 0;
    this.next();
    this.pump();
  }

  /** Asks for an early end; the owner still hears of it exactly once, with ESHUTDOWN if it came to that. */
  abort(): void {
    this.aborted = true;
    const { nexus, lun } = this.device;
    const { tagHigh, tagLow } = this.task;
    manage({ function: TaskManagementFunction.ABORT_TASK, nexus, lun, tagHigh, tagLow }, () => {});
  }

  /** Called by the core. */
  taskDone({ status, sense, senseLength, aborted }: Task): void {
    if (aborted && this.aborted) this.end(BlockError.ESHUTDOWN);
    else if (status === Status.GOOD || status === Status.CONDITION_MET) {
      this.position += this.step;
      this.next();
    } else {
      const data = sense.subarray(0, senseLength);
      this.failed(judge(status, data));
      if (this.error === BlockError.EIO) this.locate(data);
    }
    this.pump();
  }

  private failed({ error, retry }: Verdict): void {
    if (this.aborted) this.end(BlockError.ESHUTDOWN);
    else if (retry === Retry.AT_ONCE && this.retriesAtOnce++ < MAX_RETRIES_AT_ONCE) this.ready = true;
    else if (retry === Retry.LATER && this.retriesLater++ < MAX_RETRIES_LATER) {
      this.device.environment.after(RETRY_DELAY, () => {
        if (this.aborted) this.end(BlockError.ESHUTDOWN);
        else this.ready = true;
        this.pump();
      });
    } else this.end(error);
  }

  private locate(sense: Uint8Array): void {
    if (this.kind !== BlockKind.READ && this.kind !== BlockKind.WRITE) return;
    const block = informationOf(sense);
    const at = block === undefined ? -1 : block * this.device.geometry.blockSize;
    const from = this.offset + this.position;
    if (at >= from && at < from + this.step) this.failedAt = at;
  }

  /** Decides on the next command; the request has ended when there is none. */
  private next(): void {
    if (this.position < this.length) {
      this.step = Math.min(this.length - this.position, this.device.maximumBytes(this.kind));
    } else if (this.syncDue) {
      this.syncDue = false;
      this.syncing = true;
      this.step = 0;
    } else {
      this.end(BlockError.NONE);
      return;
    }
    this.ready = true;
  }

  private end(error: BlockError): void {
    this.error = error;
    this.ended = true;
  }

  /** Sends commands until one takes its time or the request has ended, and then tells the owner. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    while (this.ready) {
      this.ready = false;
      this.send();
    }
    this.pumping = false;
    if (!this.ended) return;
    // The owner may start this very object again.
    this.ended = false;
    if (this.list !== undefined) this.device.environment.memory.release(this.list);
    this.list = undefined;
    this.owner!.blockRequestDone(this);
  }

  private send(): void {
    const { task, device } = this;
    task.reset();
    task.nexus = device.nexus;
    task.lun = device.lun;
    task.tagHigh = OWN_TAGS;
    task.tagLow = device.nextTag();
    if (this.kind === BlockKind.DISCARD && !this.syncing) this.buildUnmap();
    else this.build();
    execute(task, device.environment);
  }

  /** All but UNMAP have the long form of SBC-3 in common: LBA in bytes 2 to 9, blocks in 10 to 13. */
  private build(): void {
    const { kind, task, syncing } = this;
    const { cdb } = task;
    const { blockSize } = this.device.geometry;
    // All that is not written below; `fill` would cost more than the rest.
    cdb[1] = 0;
    cdb[14] = 0;
    cdb[15] = 0;
    task.cdbLength = CDB_LENGTH;
    cdb[0] = syncing ? SYNCHRONIZE_CACHE : OPCODES[kind];
    // A flush is of everything: LBA 0, and no blocks mean all.
    if (syncing) {
      putU64(cdb, 2, 0);
      putU32(cdb, 10, 0);
      return;
    }
    putU64(cdb, 2, (this.offset + this.position) / blockSize);
    putU32(cdb, 10, this.step / blockSize);
    if (kind === BlockKind.READ) {
      task.dataIn.addPart(this.data, this.position, this.step);
    } else if (kind === BlockKind.WRITE) {
      if (this.forceUnitAccess && this.device.geometry.fua) cdb[1] = FUA;
      task.dataOut.addPart(this.data, this.position, this.step);
    } else if (kind === BlockKind.WRITE_ZEROES) {
      cdb[1] = NDOB | (this.mayUnmap && this.device.canZeroByUnmapping ? UNMAP_BIT : 0);
    }
  }

  private buildUnmap(): void {
    const { cdb, dataOut } = this.task;
    const { memory } = this.device.environment;
    const { blockSize } = this.device.geometry;
    this.list ??= memory.allocate(UNMAP_LIST_LENGTH);
    const { bytes, region, offset } = this.list;
    bytes.fill(0);
    putU16(bytes, 0, UNMAP_LIST_LENGTH - 2);
    putU16(bytes, 2, UNMAP_LIST_LENGTH - 8);
    putU64(bytes, 8, (this.offset + this.position) / blockSize);
    putU32(bytes, 16, this.step / blockSize);
    dataOut.add(region, offset, UNMAP_LIST_LENGTH);
    cdb.fill(0, 0, UNMAP_CDB_LENGTH);
    cdb[0] = OPCODES[BlockKind.DISCARD];
    putU16(cdb, 7, UNMAP_LIST_LENGTH);
    this.task.cdbLength = UNMAP_CDB_LENGTH;
  }
}
