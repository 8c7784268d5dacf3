/** What a connection does with each PDU of the full feature phase: one handler per opcode (RFC 7143 section 11). */
import type { PduHandler } from './command-window.ts';
import type { Connection } from './connection.ts';
import {
  Bhs,
  IMMEDIATE,
  InitiatorOpcode,
  NO_TAG,
  OPCODE_MASK,
  RejectReason,
  TargetOpcode,
} from './iscsi-spec.ts';
import { logout } from './logout.ts';
import type { Pdu } from './pdu.ts';
import { headerWithoutTransfer } from './pdu-builder.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import { rejectPdu } from './reject.ts';
import { dataOut, scsiCommand } from './scsi-command.ts';
import { taskManagement } from './task-management.ts';

/** By opcode; what an initiator may send in CmdSN order. */
const ORDERED: Readonly<Record<number, PduHandler>> = {
  [InitiatorOpcode.NOP_OUT]: nopOut,
  [InitiatorOpcode.SCSI_COMMAND]: scsiCommand,
  [InitiatorOpcode.TASK_MANAGEMENT]: taskManagement,
  [InitiatorOpcode.TEXT]: (connection, pdu) => connection.text.request(pdu),
  [InitiatorOpcode.LOGOUT]: logout,
};

/** Hands a PDU to its handler: immediate ones at once, the others by CmdSN. */
export function dispatch(connection: Connection, pdu: Pdu): void {
  const { session } = connection;
  const opcode = pdu.header[Bhs.OPCODE] & OPCODE_MASK;
  if (opcode === InitiatorOpcode.DATA_OUT) return dataOut(connection, pdu);
  // Not delivered, so its CmdSN is still awaited: the initiator sends it again or gives up (RFC 7143 7.8).
  if (!pdu.dataIntact) return rejectPdu(connection, RejectReason.DATA_DIGEST_ERROR, pdu.header);
  if (opcode === InitiatorOpcode.SNACK) return rejectPdu(connection, RejectReason.SNACK_REJECT, pdu.header);
  if (opcode === InitiatorOpcode.LOGIN) throw new IscsiProtocolError('a Login Request after login');
  const handler = ORDERED[opcode] ?? unknown;
  // Discovery sessions have one connection and no window.
  if (session === undefined || (pdu.header[Bhs.OPCODE] & IMMEDIATE) !== 0) handler(connection, pdu);
  else session.window.deliver(pdu.header.readInt32BE(Bhs.CMD_SN), connection, pdu, handler);
}

function unknown(connection: Connection, pdu: Pdu): void {
  rejectPdu(connection, RejectReason.COMMAND_NOT_SUPPORTED, pdu.header);
}

function nopOut(connection: Connection, pdu: Pdu): void {
  const taskTag = pdu.header.readUInt32BE(Bhs.TASK_TAG);
  // Without a task tag it answers a NOP-In of ours, or only moves ExpStatSN.
  if (taskTag === NO_TAG) return;
  const { maxSendDataSegmentLength } = connection.sendParameters;
  const echo = Buffer.from(pdu.data.subarray(0, maxSendDataSegmentLength));
  connection.send(headerWithoutTransfer(TargetOpcode.NOP_IN, taskTag), true, echo);
}
