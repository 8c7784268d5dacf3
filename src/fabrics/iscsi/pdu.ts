/** A PDU as it arrived (RFC 7143 11.2). One object per connection, filled again and again. */
import type { Scratch } from '../../scsi/environment.ts';
import { BHS_LENGTH } from './iscsi-spec.ts';

const EMPTY = Buffer.alloc(0);

/** Valid until its handler returns; see `copy`. */
export class Pdu {
  /** Basic header segment, 48 bytes. */
  readonly header: Buffer;
  /** Additional header segments, empty mostly. */
  additional: Buffer = EMPTY;
  /** Where the data segment lies, without padding: bytes[dataAt, dataAt+dataLength). */
  bytes: Uint8Array = EMPTY;
  dataAt = 0;
  dataLength = 0;
  /** False: the data digest did not match; the header is good. */
  dataIntact = true;
  /** A buffer that holds the data segment from its start; whoever handles the PDU may keep it, and then clears this. */
  scratch: Scratch | undefined = undefined;

  constructor(header: Buffer = Buffer.alloc(BHS_LENGTH)) {
    this.header = header;
  }

  /** The data segment, for paths that need not be quick. */
  get data(): Buffer {
    const { bytes, dataAt, dataLength } = this;
    return Buffer.from(bytes.buffer, bytes.byteOffset + dataAt, dataLength);
  }

  /** One that stays as it is when the connection reads on. */
  copy(): Pdu {
    const pdu = new Pdu(Buffer.from(this.header));
    pdu.additional = Buffer.from(this.additional);
    pdu.bytes = Buffer.from(this.data);
    pdu.dataLength = this.dataLength;
    pdu.dataIntact = this.dataIntact;
    return pdu;
  }

  /** Nothing of it is needed any more. */
  clear(): void {
    this.additional = EMPTY;
    this.bytes = EMPTY;
    this.dataAt = 0;
    this.dataLength = 0;
    this.dataIntact = true;
  }
}
