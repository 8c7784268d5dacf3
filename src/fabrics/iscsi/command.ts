/**
 * One SCSI command on an iSCSI session: collects its data-out (immediate, unsolicited, solicited by R2T), hands
 * the task to the core, and sends data-in, status and sense (RFC 7143 11.3, 11.4, 11.7, 11.8).
 */
import { MAXIMUM_TRANSFER } from '../../scsi/block-limits.ts';
import { execute } from '../../scsi/device-server.ts';
import type { Scratch } from '../../scsi/environment.ts';
import { Status } from '../../scsi/status-spec.ts';
import { Task, type TaskOwner } from '../../scsi/task.ts';
import { manage, TaskManagementFunction } from '../../scsi/task-management.ts';
import type { Connection } from './connection.ts';
import { Bhs, DataInFlag, FINAL, NO_TAG, RejectReason, ResidualFlag, TargetOpcode } from './iscsi-spec.ts';
import { header, headerWithoutTransfer } from './pdu-builder.ts';
import { protocolSense } from './protocol-sense.ts';
import type { Session } from './session.ts';

/** Bytes of data buffer that one command gets: what the core moves at most, with 8 bytes per 512 of protection. */
const MAX_BUFFER = MAXIMUM_TRANSFER + MAXIMUM_TRANSFER / 64;

/** A burst that was asked for with R2T. */
interface Solicited {
  readonly tag: number;
  /** Next byte expected, and the end of the burst. */
  position: number;
  readonly end: number;
  dataSn: number;
}

export interface CommandFields {
  readonly taskTag: number;
  readonly lun: number;
  readonly lunField: Buffer;
  readonly cmdSn: number;
  readonly attribute: Task['attribute'];
  readonly cdb: Uint8Array;
  readonly reads: boolean;
  readonly writes: boolean;
  /** EXPECTED DATA TRANSFER LENGTH, bytes. */
  readonly expectedLength: number;
}

export class ScsiCommand implements TaskOwner {
  readonly fields: CommandFields;
  readonly task: Task = new Task(this);
  private readonly session: Session;
  private readonly connection: Connection;
  private readonly bufferLength: number;
  private buffer: Scratch | undefined = undefined;
  private received = 0;
  private requested = 0;
  private unsolicitedOpen: boolean;
  private unsolicitedDataSn = 0;
  private r2tSn = 0;
  private readonly solicited: Solicited[] = [];
  private executing = false;
  private ended = false;
  /** The sense data of a broken transfer, reported when the initiator has sent all that it will. */
  private transferFault: { readonly key: number; readonly code: number } | undefined = undefined;

  constructor(session: Session, connection: Connection, fields: CommandFields, moreUnsolicited: boolean) {
    this.session = session;
    this.connection = connection;
    this.fields = fields;
    this.bufferLength = Math.min(fields.expectedLength, MAX_BUFFER);
    this.unsolicitedOpen = moreUnsolicited;
  }

  /** Takes a buffer when the session has room for one, then the immediate data, then asks for the rest. */
  begin(immediate: Buffer): void {
    this.session.reserve(this.bufferLength, () => {
      if (this.ended) {
        this.session.unreserve(this.bufferLength);
        return;
      }
      if (this.bufferLength > 0) this.buffer = this.session.environment.memory.allocate(this.bufferLength);
      if (this.fields.writes) {
        this.store(0, immediate);
        this.received = immediate.length;
        this.requested = immediate.length;
        this.continueTransfer();
      } else this.run();
    });
  }

  /** A Data-Out PDU of this command. */
  dataOut(pduHeader: Buffer, data: Buffer, intact: boolean): void {
    const tag = pduHeader.readUInt32BE(Bhs.TRANSFER_TAG);
    const dataSn = pduHeader.readUInt32BE(Bhs.DATA_SN);
    const offset = pduHeader.readUInt32BE(Bhs.BUFFER_OFFSET);
    const final = (pduHeader[Bhs.FLAGS] & FINAL) !== 0;
    if (this.executing || this.ended) return;
    if (!intact) this.transferFault ??= protocolSense.SERVICE_CRC_ERROR;
    if (tag === NO_TAG) this.unsolicited(dataSn, offset, data, final);
    else this.solicitedData(tag, dataSn, offset, data, final);
    this.continueTransfer();
  }

  private unsolicited(dataSn: number, offset: number, data: Buffer, final: boolean): void {
    const { firstBurstLength } = this.session.parameters;
    if (
      !this.unsolicitedOpen ||
      offset + data.length > Math.min(firstBurstLength, this.fields.expectedLength)
    ) {
      this.transferFault ??= protocolSense.UNEXPECTED_UNSOLICITED_DATA;
    } else if (dataSn !== this.unsolicitedDataSn || offset !== this.received) {
      this.transferFault ??= protocolSense.INCORRECT_AMOUNT_OF_DATA;
    } else this.store(offset, data);
    this.unsolicitedDataSn++;
    this.received += data.length;
    this.requested = this.received;
    if (final) this.unsolicitedOpen = false;
  }

  private solicitedData(tag: number, dataSn: number, offset: number, data: Buffer, final: boolean): void {
    const burst = this.solicited.find((candidate) => candidate.tag === tag);
    if (burst === undefined) {
      this.connection.reject(RejectReason.INVALID_PDU_FIELD, this.fields);
      return;
    }
    const bad = dataSn !== burst.dataSn || offset !== burst.position || offset + data.length > burst.end;
    if (bad) this.transferFault ??= protocolSense.INCORRECT_AMOUNT_OF_DATA;
    else this.store(offset, data);
    burst.dataSn++;
    burst.position = Math.min(burst.end, burst.position + data.length);
    this.received += data.length;
    if (!final) return;
    if (!bad && burst.position !== burst.end) this.transferFault ??= protocolSense.INCORRECT_AMOUNT_OF_DATA;
    this.solicited.splice(this.solicited.indexOf(burst), 1);
  }

  private store(offset: number, data: Buffer): void {
    // Beyond our buffer nothing is kept: the core refuses transfers of that length.
    const room = this.bufferLength - offset;
    if (room > 0 && data.length > 0)
      this.buffer!.bytes.set(room < data.length ? data.subarray(0, room) : data, offset);
  }

  private continueTransfer(): void {
    if (this.unsolicitedOpen || this.ended) return;
    const { maxOutstandingR2T, maxBurstLength } = this.session.parameters;
    const { expectedLength } = this.fields;
    while (
      this.transferFault === undefined &&
      this.requested < expectedLength &&
      this.solicited.length < maxOutstandingR2T
    ) {
      const end = Math.min(expectedLength, this.requested + maxBurstLength);
      this.requestBurst(this.requested, end);
      this.requested = end;
    }
    if (this.solicited.length === 0) this.run();
  }

  private requestBurst(start: number, end: number): void {
    const tag = this.connection.nextTransferTag();
    this.solicited.push({ tag, position: start, end, dataSn: 0 });
    const pdu = header(TargetOpcode.R2T, this.fields.taskTag);
    this.fields.lunField.copy(pdu, Bhs.LUN);
    pdu.writeUInt32BE(tag, Bhs.TRANSFER_TAG);
    pdu.writeUInt32BE(this.r2tSn++, Bhs.DATA_SN);
    pdu.writeUInt32BE(start, Bhs.BUFFER_OFFSET);
    pdu.writeUInt32BE(end - start, Bhs.DESIRED_LENGTH);
    this.connection.send(pdu, undefined, { status: false });
  }

  private run(): void {
    if (this.executing) return;
    this.executing = true;
    const { task, fields, session, buffer } = this;
    if (this.transferFault !== undefined) {
      this.respondFault(this.transferFault);
      return;
    }
    task.nexus = session.nexus;
    task.lun = fields.lun;
    task.tagLow = fields.taskTag;
    task.attribute = fields.attribute;
    task.cdb.set(fields.cdb);
    task.cdbLength = fields.cdb.length;
    if (buffer !== undefined) {
      const list = fields.writes ? task.dataOut : task.dataIn;
      list.add(buffer.region, buffer.offset, this.bufferLength);
    }
    execute(task, session.environment);
  }

  taskDone(task: Task): void {
    if (!task.aborted || task.statusDue) this.respond();
    this.end();
  }

  /** Ends a command that never reached the core; false when the core has it and must abort it. */
  abandonTransfer(): boolean {
    if (this.executing) return false;
    this.abandon();
    return true;
  }

  /** The session goes away. What the core has comes back through `taskDone`. */
  abandon(): void {
    if (!this.executing) this.end();
  }

  /** Aborts the command if it came over `connection`. */
  connectionLost(connection: Connection): void {
    if (this.connection !== connection || this.abandonTransfer()) return;
    const { lun, taskTag } = this.fields;
    manage(
      {
        function: TaskManagementFunction.ABORT_TASK,
        nexus: this.session.nexus,
        lun,
        tagHigh: 0,
        tagLow: taskTag,
      },
      () => {},
    );
  }

  private end(): void {
    if (this.ended) return;
    this.ended = true;
    if (this.session.commands.get(this.fields.taskTag) === this)
      this.session.commands.delete(this.fields.taskTag);
    const { buffer } = this;
    if (buffer === undefined) return;
    this.buffer = undefined;
    // The socket may still hold views of the buffer: it goes back when they are written.
    this.connection.afterWrites(() => {
      this.session.environment.memory.release(buffer);
      this.session.unreserve(this.bufferLength);
    });
  }

  private respondFault(sense: { readonly key: number; readonly code: number }): void {
    const data = Buffer.alloc(2 + 18);
    data.writeUInt16BE(18, 0);
    data[2] = 0x70;
    data[4] = sense.key;
    data[9] = 10;
    data.writeUInt16BE(sense.code, 14);
    this.sendResponse(Status.CHECK_CONDITION, data, 0, 0);
    this.end();
  }

  private respond(): void {
    const { task, fields } = this;
    const moved = task.transferLength;
    const difference = fields.expectedLength - moved;
    const flag = difference > 0 ? ResidualFlag.UNDERFLOW : difference < 0 ? ResidualFlag.OVERFLOW : 0;
    const residual = Math.abs(difference);
    const clean = task.status === Status.GOOD || task.status === Status.CONDITION_MET;
    if (fields.reads && task.transferred > 0) {
      this.sendData(Math.min(task.transferred, this.bufferLength), clean, flag, residual);
      if (clean) return;
    }
    let sense: Buffer | undefined;
    if (task.status === Status.CHECK_CONDITION) {
      sense = Buffer.alloc(2 + task.senseLength);
      sense.writeUInt16BE(task.senseLength, 0);
      sense.set(task.sense.subarray(0, task.senseLength), 2);
    }
    this.sendResponse(task.status, sense, flag, residual);
  }

  private sendResponse(status: number, sense: Buffer | undefined, flag: number, residual: number): void {
    const pdu = header(TargetOpcode.SCSI_RESPONSE, this.fields.taskTag, FINAL | flag);
    pdu[3] = status;
    pdu.writeUInt32BE(this.dataInPdus, Bhs.DATA_SN);
    pdu.writeUInt32BE(residual, Bhs.RESIDUAL);
    this.connection.send(pdu, sense, { status: true });
  }
  private dataInPdus = 0;

  /** Data-In PDUs; the last one carries the status when there is nothing more to say than that. */
  private sendData(length: number, withStatus: boolean, flag: number, residual: number): void {
    const { maxBurstLength, maxSendDataSegmentLength } = this.connection.sendParameters;
    const bytes = this.buffer!.bytes;
    for (let position = 0, burst = 0; position < length; ) {
      const size = Math.min(maxSendDataSegmentLength, length - position, maxBurstLength - burst);
      const last = position + size === length;
      burst = burst + size === maxBurstLength ? 0 : burst + size;
      const status = last && withStatus;
      const flags = (last || burst === 0 ? FINAL : 0) | (status ? DataInFlag.STATUS | flag : 0);
      const pdu = headerWithoutTransfer(TargetOpcode.DATA_IN, this.fields.taskTag, flags);
      if (status) {
        pdu[3] = this.task.status;
        pdu.writeUInt32BE(residual, Bhs.RESIDUAL);
      }
      pdu.writeUInt32BE(this.dataInPdus++, Bhs.DATA_SN);
      pdu.writeUInt32BE(position, Bhs.BUFFER_OFFSET);
      this.connection.send(pdu, bytes.subarray(position, position + size), { status });
      position += size;
    }
  }
}
