/**
 * A request queue (virtio 1.2, 5.6.6.1): from chains to tasks, and from tasks' ends to responses. On the hot
 * path: nothing is allocated per request once the pool has grown to the ring's use.
 */
import { execute } from '../../scsi/device-server.ts';
import type { Nexus } from '../../scsi/nexus.ts';
import { SegmentList } from '../../scsi/segment-list.ts';
import { Status, type TaskAttribute } from '../../scsi/status-spec.ts';
import { MAX_CDB_LENGTH, type Task, type TaskOwner } from '../../scsi/task.ts';
import { Cut, cutReadable, cutWritable } from './buffers.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { Staging } from './guest-views.ts';
import { lunOf } from './lun-field.ts';
import type { ScsiDevice } from './scsi-device.ts';
import { ScsiRequest } from './scsi-request.ts';
import {
  LunField,
  PiRequestHeader,
  RequestHeader,
  ResponseHeader,
  VirtioScsiResponse,
} from './virtio-scsi-spec.ts';
import type { Vring } from './vring.ts';
import type { VringHandler } from './vring-handler.ts';

// Indices of 32-bit words.
const TAG_LOW = RequestHeader.ID / 4;
const TAG_HIGH = TAG_LOW + 1;
const SENSE_LENGTH = ResponseHeader.SENSE_LENGTH / 4;
const RESIDUAL = ResponseHeader.RESIDUAL / 4;
const TASK_ATTRIBUTE_WORD = RequestHeader.TASK_ATTRIBUTE / 4;
/** Status qualifier (u16), status and response share one. */
const STATUS_WORD = ResponseHeader.STATUS_QUALIFIER / 4;
const { SENSE } = ResponseHeader;
const STATUS_SHIFT = (ResponseHeader.STATUS % 4) * 8;
const RESPONSE_SHIFT = (ResponseHeader.RESPONSE % 4) * 8;

const { WHOLE, NO_HEADER } = Cut;
const { GOOD, CHECK_CONDITION } = Status;
const { OK, OVERRUN, BAD_TARGET, FAILURE } = VirtioScsiResponse;
const { CDB } = RequestHeader;
const { PI_OUT, PI_IN, CDB: PI_CDB } = PiRequestHeader;

/** SAM-5 8.6 has four attributes, in two bits of a byte. */
const TASK_ATTRIBUTE_MASK = 0x03;
/** A request with more segments is not pooled: a guest could make the pool of a large ring hold a lot of memory. */
const POOLED_SEGMENTS = 256;
const MAX_RESIDUAL = 0xffff_ffff;

export class RequestQueue implements VringHandler, TaskOwner {
  private readonly device: ScsiDevice;
  /** The first `freeCount` are the pool. By index, since an array's push and pop cost more. */
  private readonly free: ScsiRequest[] = [];
  private freeCount = 0;
  private readonly headerSegments = new SegmentList(4);
  /** What cannot be read or written where it lies: a request header, a response header with its sense data. */
  private readonly staging = new Staging(PI_CDB + MAX_CDB_LENGTH);
  /** The last request's LUN field, its words as they stand there, and what it means: most have the one before's. */
  private readonly lunField = new Staging(LunField.LENGTH);
  private lunLow = 0;
  private lunHigh = 0;
  private nexus: Nexus | undefined = undefined;
  private lun = 0;

  constructor(device: ScsiDevice) {
    this.device = device;
    this.addressed(0, 0);
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
    request.poolable = request.dataIn.count + request.dataOut.count <= POOLED_SEGMENTS;
    const bidirectional = request.dataIn.byteLength > 0 && request.dataOut.byteLength > 0;
    if (writable !== WHOLE || readable !== WHOLE || bidirectional) {
      this.refuse(request, FAILURE);
      return;
    }
    const { views } = device;
    // Where the driver left it in one aligned piece, as all do, without a copy; each field is read once.
    const inPlace = views.wholeWords(headerSegments, cdbOffset + cdbSize);
    const words = inPlace ?? this.copied(headerSegments);
    const at = inPlace === undefined ? 0 : views.wordIndex;
    const lunLow = words[at] | 0;
    const lunHigh = words[(at + 1) | 0] | 0;
    if (lunLow !== this.lunLow || lunHigh !== this.lunHigh) this.addressed(lunLow, lunHigh);
    const { nexus } = this;
    if (cdbOffset !== CDB && !splitProtection(request, words, at)) {
      this.refuse(request, FAILURE);
      return;
    }
    if (nexus === undefined) {
      this.refuse(request, BAD_TARGET);
      return;
    }
    if (request.nexus !== nexus) request.nexus = nexus;
    request.lun = this.lun;
    request.tagLow = words[(at + TAG_LOW) | 0];
    request.tagHigh = words[(at + TAG_HIGH) | 0];
    request.attribute = (words[(at + TASK_ATTRIBUTE_WORD) | 0] & TASK_ATTRIBUTE_MASK) as TaskAttribute;
    request.takeCdb(words, (at + (cdbOffset >>> 2)) | 0, cdbSize);
    device.counters.requests++;
    execute(request, device.environment);
  }

  /** The words of a header that is in no aligned piece. */
  private copied(header: SegmentList): Uint32Array {
    this.device.views.copyOut(header, this.staging);
    return this.staging.words;
  }

  /** Decodes a LUN field. */
  private addressed(low: number, high: number): void {
    const { words, bytes } = this.lunField;
    words[0] = low;
    words[1] = high;
    this.lunLow = low;
    this.lunHigh = high;
    this.nexus = this.device.nexusAt(bytes, 0);
    this.lun = lunOf(bytes, 0);
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
    const answered = SENSE + senseLength;
    // The length in the used ring counts from the first byte on. The room for sense data before data-in counts as written
    // as it is: nobody can tell, its content says nothing, and its cache lines stay with the driver.
    const whole = dataIn.byteLength > 0 && transferred > 0;
    const written = whole ? SENSE + senseSize + protectionIn.byteLength + transferred : answered;
    if (!request.vring!.discards) {
      const residual = Math.min(dataIn.byteLength + dataOut.byteLength - transferred, MAX_RESIDUAL);
      const status = (request.status << STATUS_SHIFT) | (response << RESPONSE_SHIFT);
      this.write(request, senseLength, residual, status);
    }
    const { log } = this.device;
    if (log !== undefined) {
      log.markSegments(request.response, answered);
      // Of a request that failed, nobody knows how much was written.
      const isGood = response === OK && request.status === GOOD;
      log.markSegments(dataIn, isGood ? transferred : dataIn.byteLength);
      log.markSegments(protectionIn, protectionIn.byteLength);
    }
    this.giveBack(request, written);
  }

  /** Writes the response header and `senseLength` bytes of sense data. */
  private write(request: ScsiRequest, senseLength: number, residual: number, status: number): void {
    const { views } = this.device;
    const { response } = request;
    const { staging } = this;
    // Where the driver left room for it in one aligned piece, as all do, without a copy.
    const inPlace = senseLength === 0 ? views.wholeWords(response, SENSE) : undefined;
    const words = inPlace ?? staging.words;
    const at = inPlace === undefined ? 0 : views.wordIndex;
    words[at + SENSE_LENGTH] = senseLength;
    words[at + RESIDUAL] = residual;
    words[at + STATUS_WORD] = status;
    if (inPlace !== undefined) return;
    for (let i = 0; i < senseLength; i++) staging.bytes[SENSE + i] = request.sense[i];
    views.copyIn(response, staging, SENSE + senseLength);
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
function splitProtection(request: ScsiRequest, words: Uint32Array, at: number): boolean {
  const { dataOut, dataIn } = request;
  const out = unaligned(words, at, PI_OUT);
  const into = unaligned(words, at, PI_IN);
  if (out > dataOut.byteLength || into > dataIn.byteLength) return false;
  if (out > 0) dataOut.moveFront(out, request.protectionOut);
  if (into > 0) dataIn.moveFront(into, request.protectionIn);
  return true;
}

/** The u32 at byte `offset`, no multiple of 4, of the header that starts at word `at`. */
function unaligned(words: Uint32Array, at: number, offset: number): number {
  const shift = (offset & 3) * 8;
  const word = at + (offset >>> 2);
  return ((words[word] >>> shift) | (words[word + 1] << (32 - shift))) >>> 0;
}
