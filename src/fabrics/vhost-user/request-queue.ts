/**
 * A request queue (virtio 1.2, 5.6.6.1): from chains to tasks, and from tasks' ends to responses. On the hot
 * path: nothing is allocated per request once the pool has grown to the ring's use.
 */
import { execute } from '../../scsi/device-server.ts';
import { SegmentList } from '../../scsi/segment-list.ts';
import { Status, type TaskAttribute } from '../../scsi/status-spec.ts';
import { MAX_SENSE_LENGTH, type Task, type TaskOwner } from '../../scsi/task.ts';
import { Cut, cutReadable, cutWritable } from './buffers.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { Staging } from './guest-views.ts';
import { u32le } from './little-endian.ts';
import { lunOf } from './lun-field.ts';
import type { ScsiDevice } from './scsi-device.ts';
import { ScsiRequest } from './scsi-request.ts';
import { PiRequestHeader, RequestHeader, ResponseHeader, VirtioScsiResponse } from './virtio-scsi-spec.ts';
import type { Vring } from './vring.ts';
import type { VringHandler } from './vring-handler.ts';

// Indices of 32-bit words.
const TAG_LOW = RequestHeader.ID / 4;
const TAG_HIGH = TAG_LOW + 1;
const SENSE_LENGTH = ResponseHeader.SENSE_LENGTH / 4;
const RESIDUAL = ResponseHeader.RESIDUAL / 4;
/** Status qualifier (u16), status and response share one. */
const STATUS_WORD = ResponseHeader.STATUS_QUALIFIER / 4;
const { SENSE } = ResponseHeader;
const SENSE_WORD = SENSE / 4;
const STATUS_SHIFT = (ResponseHeader.STATUS % 4) * 8;
const RESPONSE_SHIFT = (ResponseHeader.RESPONSE % 4) * 8;

const { WHOLE, NO_HEADER } = Cut;
const { GOOD, CHECK_CONDITION } = Status;
const { OK, OVERRUN, BAD_TARGET, FAILURE } = VirtioScsiResponse;
const { CDB, LUN, TASK_ATTRIBUTE } = RequestHeader;
const PI_CDB = PiRequestHeader.CDB;

/** SAM-5 8.6 has four attributes, in two bits of a byte. */
const TASK_ATTRIBUTE_MASK = 0x03;
const MAX_RESIDUAL = 0xffff_ffff;

export class RequestQueue implements VringHandler, TaskOwner {
  private readonly device: ScsiDevice;
  /** The first `freeCount` are the pool. By index, since an array's push and pop cost more. */
  private readonly free: ScsiRequest[] = [];
  private freeCount = 0;
  private readonly headerSegments = new SegmentList(4);
  private readonly staging = new Staging(SENSE + MAX_SENSE_LENGTH);

  constructor(device: ScsiDevice) {
    this.device = device;
  }

  accept(vring: Vring, chain: DescriptorChain): void {
    const { device } = this;
    const request = this.freeCount > 0 ? this.free[--this.freeCount] : new ScsiRequest(this);
    request.reset();
    // Stored only where it differs, as by `execute`.
    if (request.vring !== vring) request.vring = vring;
    request.head = chain.head;
    const { space } = device;
    const responseLength = SENSE + device.senseSize;
    const writable = cutWritable(chain, responseLength, space, request.response, request.dataIn);
    if (writable === NO_HEADER) {
      // Nowhere to answer. Firmware has been seen to point outside of all memory; the chain goes back untouched.
      device.counters.unanswerable++;
      this.giveBack(request, 0);
      return;
    }
    const { cdbOffset, cdbSize } = device;
    const { headerSegments } = this;
    headerSegments.clear();
    const readable = cutReadable(chain, cdbOffset + cdbSize, space, headerSegments, request.dataOut);
    const bidirectional = request.dataIn.byteLength > 0 && request.dataOut.byteLength > 0;
    if (writable !== WHOLE || readable !== WHOLE || bidirectional) {
      this.refuse(request, FAILURE);
      return;
    }
    const { bytes, words } = request.header;
    const header = PI_CDB - cdbOffset;
    device.views.copyOut(headerSegments, request.header, header);
    if (cdbOffset !== CDB && !splitProtection(request, bytes)) {
      this.refuse(request, FAILURE);
      return;
    }
    const lunField = header + LUN;
    const nexus = device.nexusAt(bytes, lunField);
    if (nexus === undefined) {
      this.refuse(request, BAD_TARGET);
      return;
    }
    if (request.nexus !== nexus) request.nexus = nexus;
    request.lun = lunOf(bytes, lunField);
    request.tagLow = words[(header >>> 2) + TAG_LOW];
    request.tagHigh = words[(header >>> 2) + TAG_HIGH];
    request.attribute = (bytes[header + TASK_ATTRIBUTE] & TASK_ATTRIBUTE_MASK) as TaskAttribute;
    request.cdbLength = cdbSize;
    device.counters.requests++;
    execute(request, device.environment);
  }

  taskDone(task: Task): void {
    const request = task as ScsiRequest;
    const buffer = request.row?.direction === 'out' ? request.dataOut : request.dataIn;
    if (!request.statusDue) this.respond(request, this.device.abortResponse(request));
    else if (request.status === GOOD && request.transferLength > buffer.byteLength) {
      this.respond(request, OVERRUN);
    } else this.respond(request, OK);
  }

  /** Answers a request that never became a task. */
  private refuse(request: ScsiRequest, response: VirtioScsiResponse): void {
    this.device.counters.refused++;
    this.respond(request, response);
  }

  private respond(request: ScsiRequest, response: VirtioScsiResponse): void {
    const { senseSize } = this.device;
    const { dataIn, dataOut, protectionIn, transferred } = request;
    const senseLength =
      response === OK && request.status === CHECK_CONDITION ? Math.min(request.senseLength, senseSize) : 0;
    // The length in the used ring counts from the first byte on, so all bytes before data-in have to be written.
    let written: number = SENSE + senseLength;
    if (dataIn.byteLength > 0 && transferred > 0) {
      written = SENSE + senseSize + protectionIn.byteLength + transferred;
    }
    const header = Math.min(written, SENSE + senseSize);
    if (!request.vring!.discards) {
      const residual = Math.min(dataIn.byteLength + dataOut.byteLength - transferred, MAX_RESIDUAL);
      const status = (request.status << STATUS_SHIFT) | (response << RESPONSE_SHIFT);
      this.write(request, header, senseLength, residual, status);
    }
    const { log } = this.device;
    if (log !== undefined) {
      log.markSegments(request.response, header);
      // Of a request that failed, nobody knows how much was written.
      const isGood = response === OK && request.status === GOOD;
      log.markSegments(dataIn, isGood ? transferred : dataIn.byteLength);
      log.markSegments(protectionIn, protectionIn.byteLength);
    }
    this.giveBack(request, written);
  }

  /** Writes the response header and `senseLength` bytes of sense data, and zeroes after them up to byte `length`. */
  private write(
    request: ScsiRequest,
    length: number,
    senseLength: number,
    residual: number,
    status: number,
  ): void {
    const { views } = this.device;
    const { staging } = this;
    // Where the driver left room for whole words, as all do, without a copy.
    const inPlace = senseLength === 0 ? views.wholeWords(request.response, length) : undefined;
    const words = inPlace ?? staging.words;
    const at = inPlace === undefined ? 0 : views.wordIndex;
    words[at + SENSE_LENGTH] = senseLength;
    words[at + RESIDUAL] = residual;
    words[at + STATUS_WORD] = status;
    const end = (at + ((length + 3) >>> 2)) | 0;
    let i = (at + SENSE_WORD) | 0;
    // Eight at a time: V8 looks for interrupts in every round of a loop.
    for (; ((i + 8) | 0) <= end; i = (i + 8) | 0) {
      words[i] = 0;
      words[(i + 1) | 0] = 0;
      words[(i + 2) | 0] = 0;
      words[(i + 3) | 0] = 0;
      words[(i + 4) | 0] = 0;
      words[(i + 5) | 0] = 0;
      words[(i + 6) | 0] = 0;
      words[(i + 7) | 0] = 0;
    }
    for (; i < end; i = (i + 1) | 0) words[i] = 0;
    if (inPlace !== undefined) return;
    for (let i = 0; i < senseLength; i++) staging.bytes[SENSE + i] = request.sense[i];
    views.copyIn(request.response, staging, length);
  }

  private giveBack(request: ScsiRequest, written: number): void {
    const { head } = request;
    const vring = request.vring!;
    if (request.poolable) {
      const { free, freeCount } = this;
      if (freeCount === free.length) free.push(request);
      else if (free[freeCount] !== request) free[freeCount] = request;
      this.freeCount = freeCount + 1;
    }
    vring.push(head, written);
  }
}

/**
 * With T10_PI negotiated, the data may begin with protection information (5.6.6.1: `pi_out` before `data_out`,
 * `pi_in` before `data_in`). False when the header announces more of it than the buffers hold.
 */
function splitProtection(request: ScsiRequest, header: Uint8Array): boolean {
  const { dataOut, dataIn } = request;
  const out = u32le(header, PiRequestHeader.PI_OUT);
  const into = u32le(header, PiRequestHeader.PI_IN);
  if (out > dataOut.byteLength || into > dataIn.byteLength) return false;
  if (out > 0) dataOut.moveFront(out, request.protectionOut);
  if (into > 0) dataIn.moveFront(into, request.protectionIn);
  return true;
}
