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
import type { BudgetClaimant } from './buffer-budget.ts';
import type { Connection } from './connection.ts';
import { Bhs, DataInFlag, FINAL, NO_TAG, RejectReason, ResidualFlag, TargetOpcode } from './iscsi-spec.ts';
import { header, headerWithoutTransfer } from './pdu-builder.ts';
import { copyPdu, type Pdu } from './pdu-reader.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import { protocolSense } from './protocol-sense.ts';
import { rejectPdu } from './reject.ts';
import type { Session } from './session.ts';

/** Bytes of data buffer that one command gets: as much as the core moves at once, with protection information. */
const MAX_BUFFER = MAXIMUM_TRANSFER + MAXIMUM_TRANSFER / 64;
/** Data-Out PDUs that may wait for a buffer, however small they are. */
const MAX_HELD = 1024;

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
  readonly attribute: Task['attribute'];
  readonly reads: boolean;
  readonly writes: boolean;
  /** EXPECTED DATA TRANSFER LENGTH, bytes. */
  readonly expectedLength: number;
  /** Whether Data-Out PDUs follow that nobody asked for. */
  readonly moreUnsolicited: boolean;
}

export class ScsiCommand implements TaskOwner, BudgetClaimant {
  readonly connection: Connection;
  /** Bytes. */
  readonly bufferLength: number;
  private readonly fields: CommandFields;
  private readonly task: Task = new Task(this);
  private readonly session: Session;
  private buffer: Scratch | undefined = undefined;
  /** Immediate and unsolicited data until there is a buffer for them. */
  private immediate: Buffer | undefined = undefined;
  private readonly unsolicitedHeld: Pdu[] = [];
  private received = 0;
  private requested = 0;
  private unsolicitedOpen: boolean;
  private unsolicitedDataSn = 0;
  private r2tSn = 0;
  private dataInPdus = 0;
  private readonly solicited: Solicited[] = [];
  private executing = false;
  private ended = false;
  /** Called when the command is over. */
  private onEnd: (() => void) | undefined = undefined;
  /** The sense data of a broken transfer, reported when the initiator has sent all that it will. */
  private transferFault: { readonly key: number; readonly code: number } | undefined = undefined;

  constructor(session: Session, connection: Connection, fields: CommandFields) {
    this.session = session;
    this.connection = connection;
    this.fields = fields;
    this.bufferLength = Math.min(fields.expectedLength, MAX_BUFFER);
    this.unsolicitedOpen = fields.moreUnsolicited;
  }

  get lun(): number {
    return this.fields.lun;
  }

  setCdb(start: Uint8Array, rest: Uint8Array | undefined): void {
    const { task } = this;
    task.cdb.set(start);
    task.cdbLength = start.length;
    if (rest === undefined) return;
    task.cdb.set(rest, start.length);
    task.cdbLength += rest.length;
  }

  /** Takes a buffer when the session has room for one, then the immediate data, then asks for the rest. */
  begin(immediate: Buffer): void {
    this.immediate = immediate;
    this.session.budget.claim(this);
    // It has to wait, and the connection reads on.
    if (this.immediate !== undefined) this.immediate = Buffer.from(immediate);
  }

  bufferGranted(): void {
    const { session } = this;
    const immediate = this.immediate!;
    this.immediate = undefined;
    if (this.ended) return session.budget.giveBack(this.bufferLength);
    if (this.bufferLength > 0) this.buffer = session.environment.memory.allocate(this.bufferLength);
    if (!this.fields.writes) return this.run();
    this.store(0, immediate);
    this.received = immediate.length;
    this.requested = immediate.length;
    for (const pdu of this.unsolicitedHeld.splice(0)) this.unsolicited(pdu);
    this.continueTransfer();
  }

  /** A Data-Out PDU of this command. */
  dataOut(pdu: Pdu): void {
    if (this.executing || this.ended || !this.fields.writes) return;
    if (!pdu.dataIntact) this.transferFault ??= protocolSense.SERVICE_CRC_ERROR;
    if (this.immediate !== undefined) return this.holdUnsolicited(pdu);
    if (pdu.header.readUInt32BE(Bhs.TRANSFER_TAG) === NO_TAG) this.unsolicited(pdu);
    else this.solicitedData(pdu);
    this.continueTransfer();
  }

  private holdUnsolicited(pdu: Pdu): void {
    const sum = this.unsolicitedHeld.reduce((bytes, { data }) => bytes + data.length, pdu.data.length);
    if (sum > this.session.parameters.firstBurstLength || this.unsolicitedHeld.length >= MAX_HELD)
      throw new IscsiProtocolError('more unsolicited data than was agreed');
    this.unsolicitedHeld.push(copyPdu(pdu));
  }

  private unsolicited({ header: bhs, data }: Pdu): void {
    const { firstBurstLength } = this.session.parameters;
    const offset = bhs.readUInt32BE(Bhs.BUFFER_OFFSET);
    const limit = Math.min(firstBurstLength, this.fields.expectedLength);
    if (!this.unsolicitedOpen || offset + data.length > limit)
      this.transferFault ??= protocolSense.UNEXPECTED_UNSOLICITED_DATA;
    else if (bhs.readUInt32BE(Bhs.DATA_SN) !== this.unsolicitedDataSn || offset !== this.received)
      this.transferFault ??= protocolSense.INCORRECT_AMOUNT_OF_DATA;
    else this.store(offset, data);
    this.unsolicitedDataSn++;
    this.received += data.length;
    this.requested = this.received;
    if ((bhs[Bhs.FLAGS] & FINAL) !== 0) this.unsolicitedOpen = false;
  }

  private solicitedData({ header: bhs, data }: Pdu): void {
    const tag = bhs.readUInt32BE(Bhs.TRANSFER_TAG);
    const burst = this.solicited.find((candidate) => candidate.tag === tag);
    if (burst === undefined) return rejectPdu(this.connection, RejectReason.INVALID_PDU_FIELD, bhs);
    const offset = bhs.readUInt32BE(Bhs.BUFFER_OFFSET);
    const bad =
      bhs.readUInt32BE(Bhs.DATA_SN) !== burst.dataSn ||
      offset !== burst.position ||
      offset + data.length > burst.end;
    if (bad) this.transferFault ??= protocolSense.INCORRECT_AMOUNT_OF_DATA;
    else this.store(offset, data);
    burst.dataSn++;
    burst.position = Math.min(burst.end, burst.position + data.length);
    this.received += data.length;
    if ((bhs[Bhs.FLAGS] & FINAL) === 0) return;
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
    if (this.unsolicitedOpen || this.ended || this.executing || this.immediate !== undefined) return;
    const { maxOutstandingR2T, maxBurstLength } = this.session.parameters;
    while (
      this.transferFault === undefined &&
      this.requested < this.bufferLength &&
      this.solicited.length < maxOutstandingR2T
    ) {
      const end = Math.min(this.bufferLength, this.requested + maxBurstLength);
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
    this.executing = true;
    const { task, fields, session, buffer } = this;
    if (this.transferFault !== undefined) return this.respondFault(this.transferFault);
    task.nexus = session.nexus;
    task.lun = fields.lun;
    task.tagLow = fields.taskTag;
    task.attribute = fields.attribute;
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
    this.end();
    return true;
  }

  /** Ends the command without a status; resolves when nothing touches its buffer any more. */
  abort(): Promise<void> {
    if (this.ended || this.abandonTransfer()) return Promise.resolve();
    const { nexus } = this.session;
    const { lun, taskTag } = this.fields;
    return new Promise((resolve) => {
      const previous = this.onEnd;
      this.onEnd = () => {
        previous?.();
        resolve();
      };
      manage(
        { function: TaskManagementFunction.ABORT_TASK, nexus, lun, tagHigh: 0, tagLow: taskTag },
        () => {},
      );
    });
  }

  private end(): void {
    if (this.ended) return;
    this.ended = true;
    const { session, buffer, bufferLength } = this;
    session.commands.delete(this.fields.taskTag);
    this.onEnd?.();
    if (buffer === undefined) return;
    this.buffer = undefined;
    // The socket may still hold views of the buffer: it goes back when they are written.
    this.connection.afterWrites(() => {
      session.environment.memory.release(buffer);
      session.budget.giveBack(bufferLength);
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
    const difference = fields.expectedLength - task.transferLength;
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
    pdu.writeUInt32BE(this.dataInPdus + this.r2tSn, Bhs.EXP_DATA_SN);
    pdu.writeUInt32BE(residual, Bhs.RESIDUAL);
    this.connection.send(pdu, sense, { status: true });
  }

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
