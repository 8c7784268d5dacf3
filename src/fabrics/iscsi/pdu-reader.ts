/**
 * Cuts a TCP stream into PDUs. Bounded before anything is stored: a header that announces more than was
 * negotiated ends the connection. Knows no socket and no session.
 */
import { crc32c } from './crc32c.ts';
import { BHS_LENGTH, Bhs, DIGEST_LENGTH } from './iscsi-spec.ts';
import { IscsiProtocolError } from './protocol-error.ts';

/** Valid until the connection reads on; see `copyPdu`. */
export interface Pdu {
  /** Basic header segment, 48 bytes. */
  readonly header: Buffer;
  /** Additional header segments, empty mostly. */
  readonly additional: Buffer;
  /** Data segment without padding. */
  readonly data: Buffer;
  /** False: the data digest did not match; the header is good. */
  readonly dataIntact: boolean;
}

/** A PDU that stays as it is when the connection reads on. */
export function copyPdu(pdu: Pdu): Pdu {
  return {
    header: Buffer.from(pdu.header),
    additional: Buffer.from(pdu.additional),
    data: Buffer.from(pdu.data),
    dataIntact: pdu.dataIntact,
  };
}

export interface PduReaderLimits {
  /** Bytes; MaxRecvDataSegmentLength as declared by us. */
  maxDataLength: number;
  headerDigest: boolean;
  dataDigest: boolean;
}

export class PduReader {
  readonly limits: PduReaderLimits;
  private chunks: Buffer[] = [];
  private buffered = 0;

  constructor(limits: PduReaderLimits) {
    this.limits = limits;
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.buffered += chunk.length;
  }

  /** The next whole PDU, or undefined when more bytes are needed. Throws IscsiProtocolError. */
  next(): Pdu | undefined {
    if (this.buffered < BHS_LENGTH) return undefined;
    const start = this.join(BHS_LENGTH);
    const additionalLength = start[Bhs.AHS_LENGTH] * 4;
    const dataLength = start.readUIntBE(Bhs.DATA_LENGTH, 3);
    const { maxDataLength, headerDigest, dataDigest } = this.limits;
    if (dataLength > maxDataLength) {
      throw new IscsiProtocolError(
        `a data segment of ${dataLength} bytes, when at most ${maxDataLength} were agreed`,
      );
    }
    const headerEnd = BHS_LENGTH + additionalLength;
    const dataStart = headerEnd + (headerDigest ? DIGEST_LENGTH : 0);
    const dataEnd = dataStart + ((dataLength + 3) & ~3);
    const end = dataEnd + (dataDigest && dataLength > 0 ? DIGEST_LENGTH : 0);
    if (this.buffered < end) return undefined;
    const bytes = this.take(end);
    if (headerDigest && crc32c(bytes, 0, headerEnd) !== bytes.readUInt32LE(headerEnd)) {
      throw new IscsiProtocolError('a header digest that does not match');
    }
    return {
      header: bytes.subarray(0, BHS_LENGTH),
      additional: bytes.subarray(BHS_LENGTH, headerEnd),
      data: bytes.subarray(dataStart, dataStart + dataLength),
      dataIntact: end === dataEnd || crc32c(bytes, dataStart, dataEnd) === bytes.readUInt32LE(dataEnd),
    };
  }

  /** Makes the first chunk hold at least `length` bytes. */
  private join(length: number): Buffer {
    if (this.chunks[0].length < length) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0];
  }

  private take(length: number): Buffer {
    const first = this.join(length);
    this.buffered -= length;
    if (first.length === length) this.chunks.shift();
    else this.chunks[0] = first.subarray(length);
    return first.subarray(0, length);
  }
}
