/**
 * Memory for what arrived before its turn: requests that wait for an earlier CmdSN, unsolicited data that waits for a
 * buffer. All sessions together hold so much and no more; who would exceed it breaks no rule but ours, and is ended.
 */
import type { Pdu } from './pdu.ts';
import { IscsiProtocolError } from './protocol-error.ts';

const MAX_HELD = 256 << 20;
/** Bytes that a PDU takes besides its data. */
const OVERHEAD = 512;

export class HeldBytes {
  private bytes = 0;

  /** Throws IscsiProtocolError. */
  take(pdu: Pdu): void {
    if (this.bytes + costOf(pdu) > MAX_HELD)
      throw new IscsiProtocolError('too much that waits for its turn, in all sessions together');
    this.bytes += costOf(pdu);
  }

  give(pdu: Pdu): void {
    this.bytes -= costOf(pdu);
  }

  /** Zero when nothing waits. */
  get total(): number {
    return this.bytes;
  }
}

/** Bytes. */
export function costOf(pdu: Pdu): number {
  return OVERHEAD + pdu.dataLength;
}
