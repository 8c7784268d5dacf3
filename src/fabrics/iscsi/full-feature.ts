/** What a connection does with each PDU of the full feature phase: one handler per opcode (RFC 7143 section 11). */
import { decodeLun } from '../../scsi/lun-field.ts';
import { TaskAttribute } from '../../scsi/status-spec.ts';
import { ScsiCommand } from './command.ts';
import type { Connection } from './connection.ts';
import {
  AhsType,
  Bhs,
  CONTINUE,
  CommandAttribute,
  CommandFlag,
  FINAL,
  IMMEDIATE,
  InitiatorOpcode,
  LogoutReason,
  LogoutResponse,
  NO_TAG,
  RejectReason,
  TargetOpcode,
} from './iscsi-spec.ts';
import { negotiate } from './login.ts';
import { header, headerWithoutTransfer } from './pdu-builder.ts';
import type { Pdu } from './pdu-reader.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import type { Session } from './session.ts';
import { taskManagement } from './task-management.ts';
import { formatText, MAX_TEXT_LENGTH, parseText } from './text.ts';

type Handler = (connection: Connection, pdu: Pdu) => void;

const ATTRIBUTES: Readonly<Record<number, TaskAttribute>> = {
  [CommandAttribute.UNTAGGED]: TaskAttribute.SIMPLE,
  [CommandAttribute.SIMPLE]: TaskAttribute.SIMPLE,
  [CommandAttribute.ORDERED]: TaskAttribute.ORDERED,
  [CommandAttribute.HEAD_OF_QUEUE]: TaskAttribute.HEAD_OF_QUEUE,
  [CommandAttribute.ACA]: TaskAttribute.ACA,
};

export const fullFeatureHandlers: Readonly<Record<number, Handler>> = {
  [InitiatorOpcode.NOP_OUT]: inOrder(nopOut),
  [InitiatorOpcode.SCSI_COMMAND]: inOrder(scsiCommand),
  [InitiatorOpcode.TASK_MANAGEMENT]: inOrder(taskManagement),
  [InitiatorOpcode.TEXT]: inOrder(text),
  [InitiatorOpcode.LOGOUT]: inOrder(logout),
  [InitiatorOpcode.DATA_OUT]: dataOut,
  [InitiatorOpcode.SNACK]: (connection, pdu) => rejectPdu(connection, RejectReason.SNACK_REJECT, pdu.header),
};

/** Immediate PDUs at once, the others by CmdSN. Discovery sessions have one connection and no window. */
function inOrder(handler: Handler): Handler {
  return (connection, pdu) => {
    const { session } = connection;
    if (session === undefined || (pdu.header[Bhs.OPCODE] & IMMEDIATE) !== 0) handler(connection, pdu);
    else session.sequence(pdu.header.readUInt32BE(Bhs.CMD_SN), () => handler(connection, pdu));
  };
}

/** The session of a PDU that makes no sense in a discovery session. */
export function sessionOf(connection: Connection): Session {
  if (connection.session === undefined) throw new IscsiProtocolError('a command in a discovery session');
  return connection.session;
}

/** Reject carries the header of what was wrong (RFC 7143 11.17). */
export function rejectPdu(connection: Connection, reason: number, offending: Buffer): void {
  const pdu = header(TargetOpcode.REJECT, NO_TAG);
  pdu[2] = reason;
  connection.send(pdu, Buffer.from(offending), { status: true });
}

function nopOut(connection: Connection, pdu: Pdu): void {
  const taskTag = pdu.header.readUInt32BE(Bhs.TASK_TAG);
  // Without a task tag it answers a NOP-In of ours, or only moves ExpStatSN.
  if (taskTag === NO_TAG) return;
  const answer = headerWithoutTransfer(TargetOpcode.NOP_IN, taskTag);
  pdu.header.copy(answer, Bhs.LUN, Bhs.LUN, Bhs.LUN + 8);
  const { maxSendDataSegmentLength } = connection.sendParameters;
  connection.send(answer, pdu.data.subarray(0, maxSendDataSegmentLength), { status: true });
}

function scsiCommand(connection: Connection, pdu: Pdu): void {
  const session = sessionOf(connection);
  const { header: bhs, data } = pdu;
  const flags = bhs[Bhs.FLAGS];
  const taskTag = bhs.readUInt32BE(Bhs.TASK_TAG);
  const { immediateData, initialR2T, firstBurstLength } = session.parameters;
  const writes = (flags & CommandFlag.WRITE) !== 0;
  const reads = (flags & CommandFlag.READ) !== 0;
  const expectedLength = reads || writes ? bhs.readUInt32BE(Bhs.EXPECTED_LENGTH) : 0;
  const attribute = ATTRIBUTES[flags & CommandFlag.ATTRIBUTE];
  const moreUnsolicited = writes && (flags & FINAL) === 0;
  if (session.commands.has(taskTag)) return rejectPdu(connection, RejectReason.TASK_IN_PROGRESS, bhs);
  // Bidirectional commands: the core has none.
  if (attribute === undefined || (reads && writes))
    return rejectPdu(connection, RejectReason.INVALID_PDU_FIELD, bhs);
  if (
    data.length > 0 &&
    (!writes || !immediateData || data.length > Math.min(firstBurstLength, expectedLength))
  ) {
    throw new IscsiProtocolError(`${data.length} bytes of immediate data that were not agreed`);
  }
  if (moreUnsolicited && initialR2T) throw new IscsiProtocolError('unsolicited data although InitialR2T=Yes');
  if (!pdu.dataIntact) return rejectPdu(connection, RejectReason.DATA_DIGEST_ERROR, bhs);
  const command = new ScsiCommand(
    session,
    connection,
    {
      taskTag,
      lun: decodeLun(bhs, Bhs.LUN),
      lunField: Buffer.from(bhs.subarray(Bhs.LUN, Bhs.LUN + 8)),
      cmdSn: bhs.readUInt32BE(Bhs.CMD_SN),
      attribute,
      cdb: wholeCdb(pdu),
      reads,
      writes,
      expectedLength,
    },
    moreUnsolicited,
  );
  session.commands.set(taskTag, command);
  command.begin(data);
}

/** The 16 bytes of the header and what an Extended CDB segment adds (RFC 7143 11.2.2.3). */
function wholeCdb(pdu: Pdu): Uint8Array {
  const short = pdu.header.subarray(Bhs.CDB, Bhs.CDB + 16);
  const { additional } = pdu;
  for (let at = 0; at + 4 <= additional.length; ) {
    const length = additional.readUInt16BE(at);
    const type = additional[at + 2];
    const end = at + 3 + length;
    if (length === 0 || end > additional.length)
      throw new IscsiProtocolError('an additional header segment that does not fit');
    if (type === AhsType.EXTENDED_CDB) {
      const whole = Buffer.concat([short, additional.subarray(at + 4, end)]);
      if (whole.length > 260) throw new IscsiProtocolError(`a CDB of ${whole.length} bytes`);
      return whole;
    }
    at += (3 + length + 3) & ~3;
  }
  return short;
}

function dataOut(connection: Connection, pdu: Pdu): void {
  const session = sessionOf(connection);
  const command = session.commands.get(pdu.header.readUInt32BE(Bhs.TASK_TAG));
  // A task that was aborted meanwhile: its data is dropped (RFC 7143 11.7.1).
  if (command === undefined || !command.fields.writes) return;
  if (!pdu.dataIntact) rejectPdu(connection, RejectReason.DATA_DIGEST_ERROR, pdu.header);
  command.dataOut(pdu.header, pdu.data, pdu.dataIntact);
}

function text(connection: Connection, pdu: Pdu): void {
  const flags = pdu.header[Bhs.FLAGS];
  const taskTag = pdu.header.readUInt32BE(Bhs.TASK_TAG);
  const transferTag = pdu.header.readUInt32BE(Bhs.TRANSFER_TAG);
  connection.pendingText = Buffer.concat([connection.pendingText, pdu.data]);
  if (connection.pendingText.length > MAX_TEXT_LENGTH)
    throw new IscsiProtocolError('a text request without end');
  if ((flags & CONTINUE) !== 0) {
    const more = header(TargetOpcode.TEXT_RESPONSE, taskTag, 0);
    more.writeUInt32BE(connection.nextTransferTag(), Bhs.TRANSFER_TAG);
    return connection.send(more, undefined, { status: true });
  }
  // A transfer tag of ours asks for the rest of an answer that did not fit into one PDU.
  const rest = transferTag === NO_TAG ? undefined : connection.pendingAnswer;
  const answer = rest ?? answerText(connection, parseText(connection.pendingText));
  connection.pendingText = Buffer.alloc(0);
  const { maxSendDataSegmentLength } = connection.sendParameters;
  const part = answer.subarray(0, maxSendDataSegmentLength);
  const last = part.length === answer.length;
  connection.pendingAnswer = last ? undefined : answer.subarray(part.length);
  const response = headerWithoutTransfer(TargetOpcode.TEXT_RESPONSE, taskTag, last ? FINAL : CONTINUE);
  if (!last) response.writeUInt32BE(connection.nextTransferTag(), Bhs.TRANSFER_TAG);
  connection.send(response, part, { status: true });
}

function answerText(connection: Connection, keys: Map<string, string>): Buffer {
  const answers: [string, string][] = [];
  const wanted = keys.get('SendTargets');
  if (wanted !== undefined) {
    keys.delete('SendTargets');
    answers.push(...connection.portal.sendTargets(connection, wanted));
  }
  const negotiated = new Map<string, string>();
  // Only what the RFC lets change in the full feature phase; the rest keeps its value.
  for (const key of [...keys.keys()]) {
    if (key === 'MaxRecvDataSegmentLength') continue;
    negotiated.set(key, keys.get(key) === '' ? 'Irrelevant' : 'Reject');
    keys.delete(key);
  }
  negotiate(keys, connection.sendParameters, negotiated);
  return formatText([...answers, ...negotiated]);
}

function logout(connection: Connection, pdu: Pdu): void {
  const { session } = connection;
  const reason = pdu.header[Bhs.FLAGS] & 0x7f;
  const cid = pdu.header.readUInt16BE(Bhs.CID);
  const answer = header(TargetOpcode.LOGOUT_RESPONSE, pdu.header.readUInt32BE(Bhs.TASK_TAG));
  const other = session?.connections.get(cid);
  if (reason === LogoutReason.RECOVERY) answer[2] = LogoutResponse.RECOVERY_NOT_SUPPORTED;
  else if (reason === LogoutReason.CLOSE_CONNECTION && session !== undefined && other === undefined) {
    answer[2] = LogoutResponse.CID_NOT_FOUND;
  }
  connection.send(answer, undefined, { status: true });
  if (answer[2] !== LogoutResponse.CLOSED) return;
  if (session === undefined || other === connection) connection.finish('the initiator logged out');
  else if (reason === LogoutReason.CLOSE_CONNECTION) other!.finish('the initiator logged out');
  else {
    for (const member of session.connections.values()) member.finish('the initiator logged out');
  }
}
