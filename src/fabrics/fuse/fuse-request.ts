/** One request of the kernel and its answer; pooled, with its buffer. */
import { constants } from 'node:os';
import type { Memory } from '../../scsi/environment.ts';
import { BlockError } from '../loopback/block-error.ts';
import type { BlockRequest } from '../loopback/block-request.ts';
import type { Abortable, DiskFile } from './disk-file.ts';
import { DATA, FuseBuffer, MAX_TRANSFER } from './fuse-buffer.ts';
import {
  AttrOut,
  FallocateIn,
  FallocateMode,
  InHeader,
  InitFlag,
  InitFlag2,
  InitIn,
  InitOut,
  InterruptIn,
  MAJOR,
  MINIMUM_MINOR,
  MINOR,
  O_DSYNC,
  Opcode,
  OpenFlag,
  OpenOut,
  REGULAR_FILE,
  ROOT_NODE,
  SEEK_OUT_SIZE,
  SETATTR_SIZE,
  SeekIn,
  SetattrIn,
  StatfsOut,
  TransferIn,
  Whence,
  WRITE_OUT_SIZE,
} from './fuse-spec.ts';

const { EINTR, EINVAL, EIO, ENOENT, ENOSPC, ENOSYS, ENXIO, EOPNOTSUPP, EPROTO } = constants.errno;

/** Requests in the kernel's background queue: asynchronous reads and writes. */
const MAX_BACKGROUND = 64;
const PAGE = 4096;
/** st_blocks counts in these, whatever the block size. */
const STAT_BLOCK = 512;

/** What a request needs of its session. */
export interface FuseRequestOwner {
  readonly file: DiskFile;
  /** Seconds after which the kernel gives the whole connection up, where it can do so (Linux 6.14). */
  readonly requestTimeout: number;
  /** Hands an answer to the kernel. */
  write(bytes: Uint8Array, at: number, length: number): void;
  /** Ends the request that the kernel gave up on. */
  interrupt(uniqueHigh: number, uniqueLow: number): void;
  /** It has been answered, or needs no answer. */
  retire(request: FuseRequest): void;
}

export class FuseRequest implements Abortable {
  readonly buffer: FuseBuffer;
  running: BlockRequest | undefined = undefined;
  uniqueHigh = 0;
  uniqueLow = 0;
  interrupted = false;
  private readonly owner: FuseRequestOwner;

  constructor(owner: FuseRequestOwner, memory: Memory) {
    this.owner = owner;
    this.buffer = new FuseBuffer(memory);
  }

  /** Performs what the buffer holds; answers now or later. */
  perform(): void {
    const { buffer } = this;
    this.interrupted = false;
    this.uniqueLow = buffer.header32(InHeader.UNIQUE);
    this.uniqueHigh = buffer.header32(InHeader.UNIQUE + 4);
    const opcode = buffer.header32(InHeader.OPCODE);
    if (opcode !== Opcode.INIT && buffer.header32(InHeader.NODE) !== ROOT_NODE && needsNode(opcode)) {
      return this.answer(ENOENT);
    }
    this.dispatch(opcode);
  }

  private dispatch(opcode: number): void {
    switch (opcode) {
      case Opcode.READ:
        return this.read();
      case Opcode.WRITE:
        return this.write();
      case Opcode.FSYNC:
        return this.owner.file.flush(this, (error) => this.answer(error));
      case Opcode.FALLOCATE:
        return this.fallocate();
      case Opcode.LSEEK:
        return this.seek();
      case Opcode.GETATTR:
        return this.attributes();
      case Opcode.SETATTR:
        return this.setAttributes();
      case Opcode.OPEN:
        return this.open();
      case Opcode.STATFS:
        return this.statfs();
      case Opcode.INIT:
        return this.init();
      case Opcode.RELEASE:
      case Opcode.DESTROY:
        return this.answer(0);
      case Opcode.INTERRUPT:
        this.owner.interrupt(
          this.buffer.argument32(InterruptIn.UNIQUE_HIGH),
          this.buffer.argument32(InterruptIn.UNIQUE_LOW),
        );
        return this.owner.retire(this);
      case Opcode.FORGET:
      case Opcode.BATCH_FORGET:
        return this.owner.retire(this);
      default:
        // The kernel remembers that and does not ask again.
        return this.answer(ENOSYS);
    }
  }

  /** Direct I/O asks for any bytes, also behind the end. */
  private read(): void {
    const { buffer, owner } = this;
    const { file } = owner;
    const offset = buffer.argument64(TransferIn.OFFSET);
    const length = Math.min(buffer.argument32(TransferIn.COUNT), MAX_TRANSFER, file.size - offset);
    if (length <= 0) return this.answer(0);
    const skip = offset % file.device.geometry.blockSize;
    file.read(this, offset, length, buffer.scratch, DATA, (error) =>
      error === BlockError.NONE ? this.answer(0, skip, length) : this.answer(error),
    );
  }

  private write(): void {
    const { buffer, owner } = this;
    const { file } = owner;
    const offset = buffer.argument64(TransferIn.OFFSET);
    const length = Math.min(buffer.argument32(TransferIn.COUNT), MAX_TRANSFER, file.size - offset);
    // A disk does not grow when it is written to.
    if (length <= 0) return this.answer(ENOSPC);
    const durable = (buffer.argument32(TransferIn.FLAGS) & O_DSYNC) !== 0;
    file.write(this, offset, length, buffer.scratch, DATA, durable, (error) => {
      if (error !== BlockError.NONE) return this.answer(error);
      buffer.answer(WRITE_OUT_SIZE).setUint32(0, length, true);
      this.answer(0, 0, WRITE_OUT_SIZE);
    });
  }

  private fallocate(): void {
    const { buffer, owner } = this;
    const mode = buffer.argument32(FallocateIn.MODE);
    const offset = buffer.argument64(FallocateIn.OFFSET);
    const length = Math.min(buffer.argument64(FallocateIn.COUNT), owner.file.size - offset);
    const punch = mode === (FallocateMode.PUNCH_HOLE | FallocateMode.KEEP_SIZE);
    const zero = (mode & ~FallocateMode.KEEP_SIZE) === FallocateMode.ZERO_RANGE;
    // Space can be given back but not set aside.
    if (!punch && !zero) return this.answer(EOPNOTSUPP);
    if (length <= 0) return this.answer(punch ? 0 : ENOSPC);
    owner.file.zero(this, offset, length, punch, (error) => this.answer(error));
  }

  private seek(): void {
    const { buffer, owner } = this;
    const whence = buffer.argument32(SeekIn.WHENCE);
    const offset = buffer.argument64(SeekIn.OFFSET);
    if (whence !== Whence.DATA && whence !== Whence.HOLE) return this.answer(EINVAL);
    if (offset >= owner.file.size) return this.answer(ENXIO);
    void owner.file.seek(offset, whence === Whence.HOLE).then(
      (found) => {
        if (found === undefined) return this.answer(ENXIO);
        buffer.answer(SEEK_OUT_SIZE).setBigUint64(0, BigInt(found), true);
        this.answer(0, 0, SEEK_OUT_SIZE);
      },
      () => this.answer(EIO),
    );
  }

  private attributes(): void {
    const { size, device } = this.owner.file;
    const { readOnly, physicalBlockSize } = device.geometry;
    // Valid for no time at all: the disk's size may change.
    const out = this.buffer.answer(AttrOut.SIZE);
    out.setBigUint64(AttrOut.INODE, BigInt(ROOT_NODE), true);
    out.setBigUint64(AttrOut.LENGTH, BigInt(size), true);
    out.setBigUint64(AttrOut.BLOCKS, BigInt(Math.ceil(size / STAT_BLOCK)), true);
    out.setUint32(AttrOut.MODE, REGULAR_FILE | (readOnly ? 0o400 : 0o600), true);
    out.setUint32(AttrOut.LINKS, 1, true);
    out.setUint32(AttrOut.UID, process.getuid!(), true);
    out.setUint32(AttrOut.GID, process.getgid!(), true);
    out.setUint32(AttrOut.BLOCK_SIZE, Math.max(physicalBlockSize, PAGE), true);
    this.answer(0, 0, AttrOut.SIZE);
  }

  /** As with a block device, opening with O_TRUNC changes nothing; other sizes than its own it cannot have. */
  private setAttributes(): void {
    const { buffer, owner } = this;
    if ((buffer.argument32(SetattrIn.VALID) & SETATTR_SIZE) !== 0) {
      const size = buffer.argument64(SetattrIn.SIZE_FIELD);
      if (size !== 0 && size !== owner.file.size) return this.answer(EINVAL);
    }
    this.attributes();
  }

  private open(): void {
    const flags = OpenFlag.DIRECT_IO | OpenFlag.NOFLUSH | OpenFlag.PARALLEL_DIRECT_WRITES;
    this.buffer.answer(OpenOut.SIZE).setUint32(OpenOut.FLAGS, flags, true);
    this.answer(0, 0, OpenOut.SIZE);
  }

  private statfs(): void {
    const { size, device } = this.owner.file;
    const { blockSize } = device.geometry;
    const out = this.buffer.answer(StatfsOut.SIZE);
    out.setBigUint64(StatfsOut.BLOCKS, BigInt(Math.floor(size / blockSize)), true);
    out.setUint32(StatfsOut.BLOCK_SIZE, blockSize, true);
    out.setUint32(StatfsOut.NAME_LENGTH, 255, true);
    out.setUint32(StatfsOut.FRAGMENT_SIZE, blockSize, true);
    this.answer(0, 0, StatfsOut.SIZE);
  }

  private init(): void {
    const { buffer } = this;
    const offered = buffer.argument32(InitIn.FLAGS);
    const offered2 = (offered & InitFlag.INIT_EXT) !== 0 ? buffer.argument32(InitIn.FLAGS2) : 0;
    const major = buffer.argument32(InitIn.MAJOR);
    if (major !== MAJOR || buffer.argument32(InitIn.MINOR) < MINIMUM_MINOR) return this.answer(EPROTO);
    const { ASYNC_READ, BIG_WRITES, ASYNC_DIO, MAX_PAGES, INIT_EXT } = InitFlag;
    const flags2 = offered2 & InitFlag2.REQUEST_TIMEOUT;
    const out = buffer.answer(InitOut.SIZE);
    out.setUint32(InitOut.MAJOR, MAJOR, true);
    out.setUint32(InitOut.MINOR, MINOR, true);
    out.setUint32(
      InitOut.FLAGS,
      offered & (ASYNC_READ | BIG_WRITES | ASYNC_DIO | MAX_PAGES | INIT_EXT),
      true,
    );
    out.setUint16(InitOut.MAX_BACKGROUND, MAX_BACKGROUND, true);
    out.setUint16(InitOut.CONGESTION_THRESHOLD, MAX_BACKGROUND, true);
    out.setUint32(InitOut.MAX_WRITE, MAX_TRANSFER, true);
    out.setUint32(InitOut.TIME_GRANULARITY, 1, true);
    out.setUint16(InitOut.MAX_PAGES, MAX_TRANSFER / PAGE, true);
    out.setUint32(InitOut.FLAGS2, flags2, true);
    out.setUint16(InitOut.REQUEST_TIMEOUT, flags2 === 0 ? 0 : this.owner.requestTimeout, true);
    this.answer(0, 0, InitOut.SIZE);
  }

  /** Sends `length` bytes of answer from DATA + `from`, or an error number; the request is over. */
  private answer(error: number, from = 0, length = 0): void {
    const reported = error === BlockError.ESHUTDOWN ? (this.interrupted ? EINTR : EIO) : error;
    this.buffer.send(this.uniqueHigh, this.uniqueLow, reported, from, length, (bytes, at, count) =>
      this.owner.write(bytes, at, count),
    );
    this.owner.retire(this);
  }
}

/** Requests about no inode, or about one that is forgotten. */
function needsNode(opcode: number): boolean {
  const { INTERRUPT, DESTROY, FORGET, BATCH_FORGET } = Opcode;
  return opcode !== INTERRUPT && opcode !== DESTROY && opcode !== FORGET && opcode !== BATCH_FORGET;
}
