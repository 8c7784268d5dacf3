/** SCSI Command and SCSI Data-Out as they arrive (RFC 7143 11.3, 11.7): checked, then handed to a `ScsiCommand`. */
import { copyBytes } from '../../native/memory.ts';
import { TaskAttribute } from '../../scsi/status-spec.ts';
import { MAX_CDB_LENGTH, type Task } from '../../scsi/task.ts';
import type { Connection } from './connection.ts';
import {
  AhsType,
  Bhs,
  CommandAttribute,
  CommandFlag,
  FINAL,
  IMMEDIATE,
  NO_TAG_SIGNED,
  RejectReason,
} from './iscsi-spec.ts';
import type { Pdu } from './pdu.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import { rejectPdu } from './reject.ts';
import type { Session } from './session.ts';

const CDB_IN_HEADER = 16;

const ATTRIBUTES: Readonly<Record<number, TaskAttribute>> = {
  [CommandAttribute.UNTAGGED]: TaskAttribute.SIMPLE,
  [CommandAttribute.SIMPLE]: TaskAttribute.SIMPLE,
  [CommandAttribute.ORDERED]: TaskAttribute.ORDERED,
  [CommandAttribute.HEAD_OF_QUEUE]: TaskAttribute.HEAD_OF_QUEUE,
  [CommandAttribute.ACA]: TaskAttribute.ACA,
};

/** The session of a PDU that makes no sense in a discovery session. */
export function sessionOf(connection: Connection): Session {
  if (connection.session === undefined) throw new IscsiProtocolError('a command in a discovery session');
  return connection.session;
}

export function scsiCommand(connection: Connection, pdu: Pdu): void {
  const session = sessionOf(connection);
  const { header } = pdu;
  const flags = header[Bhs.FLAGS];
  const taskTag = header.readInt32BE(Bhs.TASK_TAG);
  const reads = (flags & CommandFlag.READ) !== 0;
  const writes = (flags & CommandFlag.WRITE) !== 0;
  const attribute = ATTRIBUTES[flags & CommandFlag.ATTRIBUTE];
  if (session.commands.get(taskTag) !== undefined)
    return rejectPdu(connection, RejectReason.TASK_IN_PROGRESS, header);
  if ((header[Bhs.OPCODE] & IMMEDIATE) !== 0 && !session.takesCommands)
    return rejectPdu(connection, RejectReason.IMMEDIATE_COMMAND_REJECT, header);
  // Bidirectional commands: the core has none.
  if (attribute === undefined || (reads && writes) || taskTag === NO_TAG_SIGNED)
    return rejectPdu(connection, RejectReason.INVALID_PDU_FIELD, header);
  const expectedLength = writes ? header.readUInt32BE(Bhs.EXPECTED_LENGTH) : 0;
  checkUnsolicited(session, expectedLength, pdu.dataLength, writes && (flags & FINAL) === 0);
  const { commands } = connection.portal.node;
  const command = commands.take();
  setCdb(command.task, pdu);
  command.start(session, connection, pdu, attribute);
}

function setCdb(task: Task, pdu: Pdu): void {
  copyBytes(pdu.header, Bhs.CDB, task.cdb, 0, CDB_IN_HEADER);
  task.cdbLength = CDB_IN_HEADER;
  if (pdu.additional.length === 0) return;
  const rest = extendedCdb(pdu);
  if (rest === undefined) return;
  task.cdb.set(rest, CDB_IN_HEADER);
  task.cdbLength += rest.length;
}

/** What was agreed about data that nobody asked for (RFC 7143 13.10, 13.11, 13.14). */
function checkUnsolicited(session: Session, expectedLength: number, immediate: number, more: boolean): void {
  const { immediateData, initialR2T, firstBurstLength } = session.parameters;
  if (immediate > 0 && (!immediateData || immediate > Math.min(firstBurstLength, expectedLength)))
    throw new IscsiProtocolError(`${immediate} bytes of immediate data that were not agreed`);
  if (more && initialR2T) throw new IscsiProtocolError('unsolicited data although InitialR2T=Yes');
}

/** What an Extended CDB segment adds to the 16 bytes of the header (RFC 7143 11.2.2.3). */
function extendedCdb(pdu: Pdu): Uint8Array | undefined {
  const { additional } = pdu;
  for (let at = 0; at + 4 <= additional.length; ) {
    const length = additional.readUInt16BE(at);
    const end = at + 3 + length;
    if (length === 0 || end > additional.length)
      throw new IscsiProtocolError('an additional header segment that does not fit');
    if (additional[at + 2] === AhsType.EXTENDED_CDB) {
      const rest = additional.subarray(at + 4, end);
      if (CDB_IN_HEADER + rest.length > MAX_CDB_LENGTH)
        throw new IscsiProtocolError(`a CDB of ${CDB_IN_HEADER + rest.length} bytes`);
      return rest;
    }
    at += (3 + length + 3) & ~3;
  }
  return undefined;
}

export function dataOut(connection: Connection, pdu: Pdu): void {
  const session = sessionOf(connection);
  const { header } = pdu;
  const taskTag = header.readInt32BE(Bhs.TASK_TAG);
  const command = session.commands.get(taskTag);
  if (command === undefined) {
    // Its command waits for an earlier CmdSN; or was aborted meanwhile, and its data is dropped (RFC 7143 11.7.1).
    session.window.holdData(taskTag, pdu, dataOut);
    return;
  }
  // A task's PDUs all come over one connection (RFC 7143 4.2.5.1).
  if (command.connection !== connection) return rejectPdu(connection, RejectReason.PROTOCOL_ERROR, header);
  if (!pdu.dataIntact) rejectPdu(connection, RejectReason.DATA_DIGEST_ERROR, header);
  command.dataOut(pdu);
}
