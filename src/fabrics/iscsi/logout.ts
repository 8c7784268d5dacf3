/** Logout Request and Response (RFC 7143 11.14, 11.15): what runs is ended before the answer. */
import type { Connection } from './connection.ts';
import { Bhs, LogoutReason, LogoutResponse, RejectReason, TargetOpcode } from './iscsi-spec.ts';
import type { Pdu } from './pdu.ts';
import { header } from './pdu-builder.ts';
import { rejectPdu } from './reject.ts';

const REASON_MASK = 0x7f;
const WHY = 'the initiator logged out';

export function logout(connection: Connection, pdu: Pdu): void {
  const { session } = connection;
  const taskTag = pdu.header.readUInt32BE(Bhs.TASK_TAG);
  const cid = pdu.header.readUInt16BE(Bhs.CID);
  const respond = (response: number) => {
    const answer = header(TargetOpcode.LOGOUT_RESPONSE, taskTag);
    answer[2] = response;
    connection.send(answer, true);
  };
  switch (pdu.header[Bhs.FLAGS] & REASON_MASK) {
    case LogoutReason.CLOSE_SESSION:
      void (session?.abortCommands() ?? Promise.resolve()).then(() => {
        respond(LogoutResponse.CLOSED);
        for (const member of session?.connections.values() ?? []) member.finish(WHY);
        connection.finish(WHY);
      });
      return;
    case LogoutReason.CLOSE_CONNECTION: {
      const leaving = session === undefined ? connection : session.connections.get(cid);
      if (leaving === undefined) return respond(LogoutResponse.CID_NOT_FOUND);
      void (session?.abortCommandsOf(leaving) ?? Promise.resolve()).then(() => {
        respond(LogoutResponse.CLOSED);
        leaving.finish(WHY);
      });
      return;
    }
    case LogoutReason.RECOVERY:
      return respond(LogoutResponse.RECOVERY_NOT_SUPPORTED);
    default:
      rejectPdu(connection, RejectReason.INVALID_PDU_FIELD, pdu.header);
  }
}
