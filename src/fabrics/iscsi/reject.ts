/** Reject (RFC 7143 11.17): carries the header of what was wrong. */
import type { Connection } from './connection.ts';
import { NO_TAG, TargetOpcode } from './iscsi-spec.ts';
import { header } from './pdu-builder.ts';

export function rejectPdu(connection: Connection, reason: number, offending: Buffer): void {
  const pdu = header(TargetOpcode.REJECT, NO_TAG);
  pdu[2] = reason;
  connection.send(pdu, true, offending);
}
