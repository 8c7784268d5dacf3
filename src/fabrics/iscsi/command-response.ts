/** What a command says to its initiator: SCSI Data-In and SCSI Response (RFC 7143 11.4, 11.7). */
import { Status } from '../../scsi/status-spec.ts';
import type { ScsiCommand } from './command.ts';
import { Bhs, DataInFlag, FINAL, TargetOpcode } from './iscsi-spec.ts';
import { header, headerWithoutTransfer } from './pdu-builder.ts';
import type { ProtocolSense } from './protocol-sense.ts';

const STATUS = 3;
/** The response's data segment starts with the length of the sense data. */
const SENSE_AT = 2;
const FIXED_SENSE_LENGTH = 18;

const senseSegment = Buffer.alloc(SENSE_AT + 252);

/**
 * The first `length` bytes of `bytes` as Data-In PDUs; the last one carries the status when there is nothing more to say
 * than that. The command is told when its bytes have left.
 */
export function sendDataIn(
  command: ScsiCommand,
  bytes: Uint8Array,
  length: number,
  withStatus: boolean,
  flag: number,
  residual: number,
): void {
  const { connection, task, taskTag } = command;
  const { maxBurstLength, maxSendDataSegmentLength } = connection.sendParameters;
  let burst = 0;
  for (let position = 0; position < length; ) {
    const size = Math.min(maxSendDataSegmentLength, length - position, maxBurstLength - burst);
    const last = position + size === length;
    burst = burst + size === maxBurstLength ? 0 : burst + size;
    const status = last && withStatus;
    const flags = (last || burst === 0 ? FINAL : 0) | (status ? DataInFlag.STATUS | flag : 0);
    const pdu = headerWithoutTransfer(TargetOpcode.DATA_IN, taskTag, flags);
    if (status) {
      pdu[STATUS] = task.status;
      pdu.writeUInt32BE(residual, Bhs.RESIDUAL);
    }
    pdu.writeInt32BE(command.dataInPdus++, Bhs.DATA_SN);
    pdu.writeUInt32BE(position, Bhs.BUFFER_OFFSET);
    connection.send(pdu, status, bytes, position, size, last ? command : undefined);
    position += size;
  }
}

export function sendResponse(command: ScsiCommand, flag: number, residual: number): void {
  const { task } = command;
  let senseLength = 0;
  if (task.status === Status.CHECK_CONDITION) {
    senseLength = SENSE_AT + task.senseLength;
    senseSegment.writeUInt16BE(task.senseLength, 0);
    senseSegment.set(task.sense.subarray(0, task.senseLength), SENSE_AT);
  }
  respond(command, task.status, senseLength, flag, residual);
}

/** CHECK CONDITION for a transfer that iSCSI itself saw go wrong (RFC 7143 11.4.7.2). */
export function sendFault(command: ScsiCommand, sense: ProtocolSense): void {
  senseSegment.fill(0, 0, SENSE_AT + FIXED_SENSE_LENGTH);
  senseSegment.writeUInt16BE(FIXED_SENSE_LENGTH, 0);
  senseSegment[SENSE_AT] = 0x70;
  senseSegment[SENSE_AT + 2] = sense.key;
  senseSegment[SENSE_AT + 7] = FIXED_SENSE_LENGTH - 8;
  senseSegment.writeUInt16BE(sense.code, SENSE_AT + 12);
  respond(command, Status.CHECK_CONDITION, SENSE_AT + FIXED_SENSE_LENGTH, 0, 0);
}

function respond(
  command: ScsiCommand,
  status: number,
  senseLength: number,
  flag: number,
  residual: number,
): void {
  const pdu = header(TargetOpcode.SCSI_RESPONSE, command.taskTag, FINAL | flag);
  pdu[STATUS] = status;
  pdu.writeInt32BE(command.dataInPdus + command.r2ts, Bhs.EXP_DATA_SN);
  pdu.writeUInt32BE(residual, Bhs.RESIDUAL);
  command.connection.send(pdu, true, senseSegment, 0, senseLength);
}
