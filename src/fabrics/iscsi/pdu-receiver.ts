/**
 * Cuts a byte stream into PDUs. Bounded before anything is stored: a header that announces more than was negotiated
 * ends the connection. Knows no socket and no session; data segments that arrive in pieces go straight to where the
 * owner wants them.
 */
import { copyBytes } from '../../native/memory.ts';
import { crc32c } from './crc32c.ts';
import { BHS_LENGTH, Bhs, DIGEST_LENGTH } from './iscsi-spec.ts';
import { Pdu } from './pdu.ts';
import { IscsiProtocolError } from './protocol-error.ts';

const MAX_HEAD = BHS_LENGTH + 255 * 4 + DIGEST_LENGTH;
/** Padding and digest behind a data segment. */
const MAX_TAIL = 3 + DIGEST_LENGTH;

export interface PduReceiverLimits {
  /** Bytes; MaxRecvDataSegmentLength as declared by us. */
  maxDataLength: number;
  headerDigest: boolean;
  dataDigest: boolean;
}

export interface PduOwner {
  /** Takes a whole PDU. */
  deliver(pdu: Pdu): void;
  /**
   * The header is complete, and the data segment will arrive in pieces: sets `bytes` and `dataAt` to where it shall
   * go. What stays unset goes to a buffer of its own.
   */
  place(pdu: Pdu): void;
}

export class PduReceiver {
  readonly limits: PduReceiverLimits;
  /** While true, no PDU is taken in. */
  paused = false;
  private readonly owner: PduOwner;
  private readonly head = Buffer.alloc(MAX_HEAD);
  private headFill = 0;
  private headNeed: number = BHS_LENGTH;
  private readonly tail = Buffer.alloc(MAX_TAIL);
  private tailFill = 0;
  private tailNeed = 0;
  /** The one that is arriving, or being delivered. */
  readonly pdu = new Pdu(this.head.subarray(0, BHS_LENGTH));
  /** Whether a data segment is arriving in pieces, and how many bytes of it are to come. */
  private inData = false;
  private dataNeed = 0;

  constructor(limits: PduReceiverLimits, owner: PduOwner) {
    this.limits = limits;
    this.owner = owner;
  }

  /** Bytes that should not come by `feed`, but be put where `target` and `targetAt` say, and told by `arrived`. */
  get wanted(): number {
    return this.dataNeed;
  }

  get target(): Uint8Array {
    return this.pdu.bytes;
  }

  get targetAt(): number {
    return this.pdu.dataAt + this.pdu.dataLength - this.dataNeed;
  }

  /** `count` of the wanted bytes are in their place. `feed` must follow, if with nothing. */
  arrived(count: number): void {
    this.dataNeed -= count;
  }

  /** The memory at `target` is not to be written to any more: what is still to come goes elsewhere. */
  detach(target: Uint8Array): void {
    if (!this.inData || this.pdu.bytes !== target) return;
    this.pdu.bytes = Buffer.allocUnsafe(this.pdu.dataLength);
    this.pdu.dataAt = 0;
  }

  /**
   * Takes bytes[start, end) in and delivers the PDUs that they complete. Returns where it stopped: `end`, unless
   * `paused`. Throws IscsiProtocolError.
   */
  feed(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (!this.paused) {
      if (this.inData) {
        at = this.takeData(bytes, at, end);
        if (this.dataNeed > 0 || this.tailFill < this.tailNeed) return at;
        this.inData = false;
        this.checkPlaced();
        this.complete();
        continue;
      }
      const count = Math.min(this.headNeed - this.headFill, end - at);
      copyBytes(bytes, at, this.head, this.headFill, count);
      this.headFill += count;
      at += count;
      if (this.headFill < this.headNeed) return at;
      if (this.headNeed === BHS_LENGTH && this.measure()) continue;
      at = this.startData(bytes, at, end);
    }
    return at;
  }

  /** Looks at the lengths in a basic header; true when more bytes belong to the header. */
  private measure(): boolean {
    const { head, limits } = this;
    const { maxDataLength, headerDigest } = limits;
    const dataLength =
      (head[Bhs.DATA_LENGTH] << 16) | (head[Bhs.DATA_LENGTH + 1] << 8) | head[Bhs.DATA_LENGTH + 2];
    if (dataLength > maxDataLength) {
      throw new IscsiProtocolError(
        `a data segment of ${dataLength} bytes, when at most ${maxDataLength} were agreed`,
      );
    }
    this.pdu.dataLength = dataLength;
    const additional = head[Bhs.AHS_LENGTH] * 4;
    this.headNeed = BHS_LENGTH + additional + (headerDigest ? DIGEST_LENGTH : 0);
    return this.headNeed > BHS_LENGTH;
  }

  /** The header is complete: delivers the PDU if all of it is here, else prepares for the rest. */
  private startData(bytes: Uint8Array, at: number, end: number): number {
    const { pdu, head, headNeed } = this;
    const { headerDigest, dataDigest } = this.limits;
    const headerEnd = headerDigest ? headNeed - DIGEST_LENGTH : headNeed;
    if (headerDigest && crc32c(head, 0, headerEnd) !== head.readUInt32LE(headerEnd))
      throw new IscsiProtocolError('a header digest that does not match');
    if (headerEnd > BHS_LENGTH) pdu.additional = head.subarray(BHS_LENGTH, headerEnd);
    const { dataLength } = pdu;
    if (dataLength === 0) {
      this.complete();
      return at;
    }
    const padding = -dataLength & 3;
    const tail = padding + (dataDigest ? DIGEST_LENGTH : 0);
    if (end - at >= dataLength + tail) {
      pdu.bytes = bytes;
      pdu.dataAt = at;
      if (dataDigest) {
        const digestAt = at + dataLength + padding;
        pdu.dataIntact = crc32c(bytes, at, digestAt) === littleEndian(bytes, digestAt);
      }
      this.complete();
      return at + dataLength + tail;
    }
    this.owner.place(pdu);
    if (pdu.bytes.length === 0) pdu.bytes = Buffer.allocUnsafe(dataLength);
    this.inData = true;
    this.dataNeed = dataLength;
    this.tailFill = 0;
    this.tailNeed = tail;
    return at;
  }

  private takeData(bytes: Uint8Array, at: number, end: number): number {
    const count = Math.min(this.dataNeed, end - at);
    if (count > 0) {
      copyBytes(bytes, at, this.target, this.targetAt, count);
      this.dataNeed -= count;
    }
    at += count;
    if (this.dataNeed > 0) return at;
    const rest = Math.min(this.tailNeed - this.tailFill, end - at);
    copyBytes(bytes, at, this.tail, this.tailFill, rest);
    this.tailFill += rest;
    return at + rest;
  }

  /** The digest of data that arrived in pieces. */
  private checkPlaced(): void {
    if (!this.limits.dataDigest) return;
    const { pdu, tail } = this;
    const padding = -pdu.dataLength & 3;
    const crc = crc32c(pdu.bytes, pdu.dataAt, pdu.dataAt + pdu.dataLength);
    pdu.dataIntact = crc32c(tail, 0, padding, crc) === tail.readUInt32LE(padding);
  }

  private complete(): void {
    this.headFill = 0;
    this.headNeed = BHS_LENGTH;
    this.owner.deliver(this.pdu);
    this.pdu.clear();
  }
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}
