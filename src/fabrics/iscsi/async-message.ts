/** Asynchronous Message (RFC 7143 11.9): what a target says without having been asked. */
import { encodeLunLevel } from '../../scsi/lun-field.ts';
import { buildSense } from '../../scsi/sense.ts';
import { Sense } from '../../scsi/sense-spec.ts';
import type { Connection } from './connection.ts';
import { AsyncEvent, Bhs, NO_TAG, TargetOpcode } from './iscsi-spec.ts';
import { header } from './pdu-builder.ts';

const SENSE_BYTES = 64;

/** Asks the initiator to log out of this connection within `seconds`. */
export function requestLogout(connection: Connection, seconds: number): void {
  const pdu = asyncMessage(AsyncEvent.LOGOUT_REQUEST);
  pdu.writeUInt16BE(seconds, Bhs.ASYNC_PARAMETER_3);
  connection.send(pdu, true);
}

/** A SCSI event: a LUN came or went, so that the initiator may look for disks again. */
export function lunsChanged(connection: Connection, lun: number): void {
  const pdu = asyncMessage(AsyncEvent.SCSI);
  pdu.writeUInt16BE(encodeLunLevel(lun), Bhs.LUN);
  const data = Buffer.alloc(2 + SENSE_BYTES);
  const length = buildSense(data.subarray(2), Sense.REPORTED_LUNS_DATA_HAS_CHANGED, {}, false);
  data.writeUInt16BE(length, 0);
  connection.send(pdu, true, data, 0, 2 + length);
}

function asyncMessage(event: number): Buffer {
  const pdu = header(TargetOpcode.ASYNC_MESSAGE, NO_TAG);
  pdu[Bhs.ASYNC_EVENT] = event;
  return pdu;
}
