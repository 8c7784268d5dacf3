/**
 * A request queue of the block device (virtio 1.2, 5.2.6): from chains to block requests, and from their ends to a byte
 * of status. On the hot path: nothing is allocated per READ or WRITE once the pool has grown to the ring's use.
 */
import { SegmentList } from '../../scsi/segment-list.ts';
import { BlockError } from '../loopback/block-error.ts';
import { BlockKind, type BlockRequest, type BlockRequestOwner } from '../loopback/block-request.ts';
import type { BlkDevice } from './blk-device.ts';
import { BlkRequest } from './blk-request.ts';
import { Cut, cutReadable, cutStatus } from './buffers.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { Staging } from './guest-views.ts';
import { u32le } from './little-endian.ts';
import {
  BlkHeader,
  BlkRange,
  BlkStatus,
  BlkType,
  ID_LENGTH,
  MAX_RANGES,
  RANGE_UNMAP,
  SECTOR,
} from './virtio-blk-spec.ts';
import type { Vring } from './vring.ts';
import type { VringHandler } from './vring-handler.ts';

/** Indices of 32-bit words. */
const TYPE = BlkHeader.TYPE / 4;
const SECTOR_LOW = BlkHeader.SECTOR / 4;
const SECTOR_HIGH = SECTOR_LOW + 1;
const TWO_TO_32 = 2 ** 32;
/** Less than the data of any request, even of one without. */
const NOTHING_WRITTEN = -1;
const RANGES_LENGTH = MAX_RANGES * BlkRange.LENGTH;

export class BlkQueue implements VringHandler, BlockRequestOwner {
  private readonly device: BlkDevice;
  private readonly pool: BlkRequest[] = [];
  private readonly header = new Staging(BlkHeader.LENGTH);
  private readonly headerSegments = new SegmentList(4);
  private readonly payload = new Staging(RANGES_LENGTH);
  private readonly status = new Staging(1);

  constructor(device: BlkDevice) {
    this.device = device;
  }

  accept(vring: Vring, chain: DescriptorChain): void {
    const { device, header, headerSegments } = this;
    const request = this.pool.pop() ?? this.newRequest();
    const { block, status } = request;
    const { data } = block;
    data.clear();
    status.clear();
    headerSegments.clear();
    request.vring = vring;
    request.head = chain.head;
    request.rangesLeft = 0;
    const { space } = device;
    const writable = cutStatus(chain, space, data, status);
    request.bytesIn = data.byteLength;
    if (writable === Cut.NO_HEADER) {
      device.counters.unanswerable++;
      this.giveBack(request, 0);
      return;
    }
    if (writable === Cut.NO_DATA) {
      // Of the buffers only a part is known, so no length would be right but none.
      this.refuse(request, BlkStatus.IOERR, NOTHING_WRITTEN);
      return;
    }
    const readable = cutReadable(chain, BlkHeader.LENGTH, space, headerSegments, data);
    const bidirectional = request.bytesIn > 0 && data.byteLength > request.bytesIn;
    if (readable !== Cut.WHOLE || bidirectional) {
      this.refuse(request, BlkStatus.IOERR);
      return;
    }
    device.views.copyOut(headerSegments, header);
    const { words } = header;
    switch (words[TYPE]) {
      case BlkType.IN:
        if (data.byteLength > request.bytesIn) this.refuse(request, BlkStatus.IOERR);
        else this.transfer(request, BlockKind.READ);
        return;
      case BlkType.OUT:
        if (request.bytesIn > 0) this.refuse(request, BlkStatus.IOERR);
        else this.transfer(request, BlockKind.WRITE);
        return;
      case BlkType.FLUSH:
        block.kind = BlockKind.FLUSH;
        block.offset = 0;
        block.length = 0;
        this.start(request);
        return;
      case BlkType.GET_ID:
        this.identify(request);
        return;
      case BlkType.DISCARD:
      case BlkType.WRITE_ZEROES:
        this.takeRanges(
          request,
          words[TYPE] === BlkType.DISCARD ? BlockKind.DISCARD : BlockKind.WRITE_ZEROES,
        );
        return;
      default:
        this.refuse(request, BlkStatus.UNSUPP);
    }
  }

  /** Called by the block layer. */
  blockRequestDone(block: BlockRequest): void {
    const request = block.context as BlkRequest;
    if (block.error === BlockError.NONE && request.rangesLeft > 0 && this.nextRange(request)) {
      block.start();
      return;
    }
    this.device.ended(request);
    // The disk may have shrunk since the ranges were checked.
    const cutShort = block.error === BlockError.NONE && request.rangesLeft > 0;
    const status = cutShort ? BlkStatus.IOERR : statusOf(block.error);
    const whole = status === BlkStatus.OK && block.kind === BlockKind.READ;
    this.answer(request, status, whole ? request.bytesIn : 0);
  }

  private newRequest(): BlkRequest {
    const block = this.device.disk.request();
    block.owner = this;
    return new BlkRequest(block);
  }

  /** As `fits`, whose arguments would be objects on the heap where they are above 2^31, and with cheap remainders. */
  private transfer(request: BlkRequest, kind: BlockKind): void {
    const { block } = request;
    const { words } = this.header;
    const { blockSize, byteLength } = this.device.disk.geometry;
    const length = block.data.byteLength;
    const low = words[SECTOR_LOW];
    const remainder = (low & (blockSize / SECTOR - 1)) | (length & (blockSize - 1));
    block.kind = kind;
    block.offset = (words[SECTOR_HIGH] * TWO_TO_32 + low) * SECTOR;
    block.length = length;
    if (remainder !== 0 || block.offset + length > byteLength) this.refuse(request, BlkStatus.IOERR);
    else this.start(request);
  }

  private start(request: BlkRequest): void {
    const { block } = request;
    block.forceUnitAccess = this.device.forceUnitAccess;
    this.device.started(request);
    block.start();
  }

  /** Whether a range, in bytes, is one of whole blocks of the disk. */
  private fits(offset: number, length: number): boolean {
    const { blockSize, byteLength } = this.device.disk.geometry;
    return offset % blockSize === 0 && length % blockSize === 0 && offset + length <= byteLength;
  }

  private identify(request: BlkRequest): void {
    const { bytes } = this.payload;
    const { serial, views } = this.device;
    if (request.bytesIn === 0) {
      this.refuse(request, BlkStatus.IOERR);
      return;
    }
    bytes.fill(0, 0, ID_LENGTH);
    bytes.set(serial.subarray(0, ID_LENGTH));
    if (!request.vring!.discards) views.copyIn(request.block.data, this.payload, ID_LENGTH);
    this.answer(request, BlkStatus.OK, ID_LENGTH);
  }

  /** DISCARD and WRITE ZEROES: the ranges are copied out once, and done one after the other. */
  private takeRanges(request: BlkRequest, kind: BlockKind): void {
    const { data } = request.block;
    const length = data.byteLength;
    if (request.bytesIn > 0 || length === 0 || length > RANGES_LENGTH || length % BlkRange.LENGTH !== 0) {
      this.refuse(request, BlkStatus.IOERR);
      return;
    }
    if (kind === BlockKind.DISCARD && !this.device.disk.geometry.unmap) {
      this.refuse(request, BlkStatus.UNSUPP);
      return;
    }
    this.device.views.copyOut(data, this.payload);
    const ranges = this.payload.bytes.slice(0, length);
    // 5.2.6.2: what is reserved, and "unmap" of a DISCARD, is not understood; then nothing is done.
    const known = kind === BlockKind.DISCARD ? 0 : RANGE_UNMAP;
    for (let at = 0; at < length; at += BlkRange.LENGTH) {
      if ((u32le(ranges, at + BlkRange.FLAGS) & ~known) !== 0) {
        this.refuse(request, BlkStatus.UNSUPP);
        return;
      }
    }
    for (let at = 0; at < length; at += BlkRange.LENGTH) {
      if (!this.fits(rangeOffset(ranges, at), rangeLength(ranges, at))) {
        this.refuse(request, BlkStatus.IOERR);
        return;
      }
    }
    data.clear();
    request.ranges = ranges;
    request.rangesLeft = length / BlkRange.LENGTH;
    request.nextRange = 0;
    request.block.kind = kind;
    this.nextRange(request);
    this.start(request);
  }

  /** Makes the next range the request's; false when the disk has no such range any more. */
  private nextRange(request: BlkRequest): boolean {
    const { block, nextRange: at } = request;
    const ranges = request.ranges!;
    block.offset = rangeOffset(ranges, at);
    block.length = rangeLength(ranges, at);
    if (!this.fits(block.offset, block.length)) return false;
    block.mayUnmap = (u32le(ranges, at + BlkRange.FLAGS) & RANGE_UNMAP) !== 0;
    request.nextRange = at + BlkRange.LENGTH;
    request.rangesLeft--;
    return true;
  }

  /** Answers a request that never became one of the disk's. */
  private refuse(request: BlkRequest, status: BlkStatus, dataWritten = 0): void {
    this.device.counters.refused++;
    this.answer(request, status, dataWritten);
  }

  /** `dataWritten`: so many bytes of data are there, from the first on. */
  private answer(request: BlkRequest, status: BlkStatus, dataWritten: number): void {
    const { views, log } = this.device;
    const { block, bytesIn } = request;
    this.status.bytes[0] = status;
    if (!request.vring!.discards) views.copyIn(request.status, this.status, 1);
    if (log !== undefined) {
      if (bytesIn > 0) log.markSegments(block.data, bytesIn);
      log.markSegments(request.status, 1);
    }
    // 2.7.8.2: all bytes up to the length in the used ring have been written. The status comes behind all data.
    this.giveBack(request, dataWritten >= bytesIn ? bytesIn + 1 : Math.max(dataWritten, 0));
  }

  private giveBack(request: BlkRequest, written: number): void {
    const { head } = request;
    const vring = request.vring!;
    if (request.poolable) this.pool.push(request);
    vring.push(head, written);
  }
}

function statusOf(error: BlockError): BlkStatus {
  if (error === BlockError.NONE) return BlkStatus.OK;
  return error === BlockError.EOPNOTSUPP ? BlkStatus.UNSUPP : BlkStatus.IOERR;
}

/** Bytes. */
function rangeOffset(ranges: Uint8Array, at: number): number {
  const sector = u32le(ranges, at + BlkRange.SECTOR + 4) * TWO_TO_32 + u32le(ranges, at + BlkRange.SECTOR);
  return sector * SECTOR;
}

/** Bytes. */
function rangeLength(ranges: Uint8Array, at: number): number {
  return u32le(ranges, at + BlkRange.SECTORS) * SECTOR;
}
