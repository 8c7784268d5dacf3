/**
 * One SCSI command on an iSCSI session: collects its data-out (immediate, unsolicited, solicited by R2T), hands
 * the task to the core, and sends data-in, status and sense (RFC 7143 11.3, 11.4, 11.7, 11.8). Pooled: from `start` to
 * `recycle` it is one command, then another.
 */
import { MAXIMUM_TRANSFER } from '../../scsi/block-limits.ts';
import { execute } from '../../scsi/device-server.ts';
import type { Scratch } from '../../scsi/environment.ts';
import { decodeLun } from '../../scsi/lun-field.ts';
import { Status } from '../../scsi/status-spec.ts';
import { Task, type TaskOwner } from '../../scsi/task.ts';
import { manage, TaskManagementFunction } from '../../scsi/task-management.ts';
import type { BudgetClaimant } from './buffer-budget.ts';
import { Bursts } from './bursts.ts';
import type { CommandPool } from './command-pool.ts';
import { sendDataIn, sendFault, sendResponse } from './command-response.ts';
import type { Connection } from './connection.ts';
import type { InputBuffer } from './input-buffers.ts';
import {
  Bhs,
  CommandFlag,
  FINAL,
  NO_TAG_SIGNED,
  RejectReason,
  ResidualFlag,
  TargetOpcode,
} from './iscsi-spec.ts';
import type { SendOwner } from './output-queue.ts';
import type { Pdu } from './pdu.ts';
import { header } from './pdu-builder.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import { type ProtocolSense, protocolSense } from './protocol-sense.ts';
import { rejectPdu } from './reject.ts';
import type { Session } from './session.ts';

/** Bytes of data buffer that one command gets: as much as the core moves at once, with protection information. */
const MAX_BUFFER = MAXIMUM_TRANSFER + MAXIMUM_TRANSFER / 64;
/** Data-Out PDUs that may wait for a buffer, however small they are. */
const MAX_HELD = 1024;
const LUN_LENGTH = 8;

export class ScsiCommand implements TaskOwner, BudgetClaimant, SendOwner {
  connection!: Connection;
  /** INITIATOR TASK TAG, signed. */
  taskTag = 0;
  /** EXPECTED DATA TRANSFER LENGTH, bytes. */
  expectedLength = 0;
  /** Bytes; no more than we are ready to hold. */
  bufferLength = 0;
  buffer: Scratch | undefined = undefined;
  /** What a write's data was received in, and where there; then there is no buffer. */
  private input: InputBuffer | undefined = undefined;
  private inputAt = 0;
  /** Data-In PDUs so far, and R2Ts. */
  dataInPdus = 0;
  r2ts = 0;
  readonly task: Task = new Task(this);
  private readonly pool: CommandPool;
  private readonly lunField = Buffer.alloc(LUN_LENGTH);
  private session!: Session;
  private reads = false;
  private writes = false;
  private readonly bursts = new Bursts();
  private received = 0;
  private requested = 0;
  private unsolicitedOpen = false;
  private unsolicitedDataSn = 0;
  /** The command and its unsolicited data, while they wait for a buffer. */
  private held: Pdu[] | undefined = undefined;
  /** Whether it waits for the session's budget. */
  private claiming = false;
  private executing = false;
  private ended = false;
  /** Whether a connection's queue refers to the buffer. */
  private sending = false;
  /** Called when the command is over. */
  private onEnd: (() => void) | undefined = undefined;
  /** The sense data of a broken transfer, reported when the initiator has sent all that it will. */
  private transferFault: ProtocolSense | undefined = undefined;

  constructor(pool: CommandPool) {
    this.pool = pool;
  }

  /** Takes a SCSI Command PDU, checked by scsi-command.ts, whose CDB is in the task already. */
  start(session: Session, connection: Connection, pdu: Pdu, attribute: Task['attribute']): void {
    const bhs = pdu.header;
    const flags = bhs[Bhs.FLAGS];
    const { task } = this;
    this.session = session;
    this.connection = connection;
    this.taskTag = bhs.readInt32BE(Bhs.TASK_TAG);
    this.reads = (flags & CommandFlag.READ) !== 0;
    this.writes = (flags & CommandFlag.WRITE) !== 0;
    this.expectedLength = this.reads || this.writes ? bhs.readUInt32BE(Bhs.EXPECTED_LENGTH) : 0;
    this.bufferLength = Math.min(this.expectedLength, MAX_BUFFER);
    this.unsolicitedOpen = this.writes && (flags & FINAL) === 0;
    for (let i = 0; i < LUN_LENGTH; i++) this.lunField[i] = bhs[Bhs.LUN + i];
    task.nexus = session.nexus;
    task.lun = decodeLun(bhs, Bhs.LUN);
    task.tagLow = this.taskTag;
    task.attribute = attribute;
    session.commands.add(this);
    if (this.bufferLength === 0) {
      this.run();
      return;
    }
    this.claiming = true;
    session.budget.claim(this);
    if (this.claiming) {
      this.held = [];
      this.hold(this.held, pdu);
    } else this.begin(pdu);
  }

  /** The budget has room for us: at once within `start`, or later. */
  bufferGranted(): void {
    const { held } = this;
    this.claiming = false;
    if (held === undefined) {
      // Within `start`; or too late, and the bytes are given back.
      if (this.ended) this.session.budget.giveBack(this.bufferLength);
      return;
    }
    this.dropHeld();
    this.begin(held[0], held);
  }

  /** Takes the buffer and the data that came unasked, then asks for the rest. */
  private begin(pdu: Pdu, held?: readonly Pdu[]): void {
    const { memory } = this.session.environment;
    if (!this.writes) {
      this.buffer = memory.allocate(this.bufferLength);
      this.run();
      return;
    }
    const whole = pdu.dataLength === this.bufferLength && pdu.scratch !== undefined;
    if (whole) {
      this.buffer = pdu.scratch;
      pdu.scratch = undefined;
    } else if (!this.keepInput(pdu)) {
      this.buffer = memory.allocate(this.bufferLength, true);
      this.store(pdu, 0);
    }
    this.received = pdu.dataLength;
    this.requested = pdu.dataLength;
    for (let i = 1; held !== undefined && i < held.length; i++) this.unsolicited(held[i]);
    this.continueTransfer();
  }

  /** Takes the data where it was received, when all of it is there. */
  private keepInput(pdu: Pdu): boolean {
    if (pdu.dataLength !== this.bufferLength || this.unsolicitedOpen) return false;
    this.input = this.connection.portal.node.inputs.keep(pdu.bytes);
    this.inputAt = pdu.dataAt;
    return this.input !== undefined;
  }

  /** Where the data of a Data-Out PDU goes, when it is what we expect next; else undefined. */
  placeOf(pdu: Pdu): Scratch | undefined {
    if (this.buffer === undefined || this.executing || this.ended || this.transferFault !== undefined)
      return undefined;
    const bhs = pdu.header;
    const offset = bhs.readUInt32BE(Bhs.BUFFER_OFFSET);
    if (offset + pdu.dataLength > this.bufferLength) return undefined;
    const tag = bhs.readInt32BE(Bhs.TRANSFER_TAG);
    if (tag === NO_TAG_SIGNED)
      return this.unsolicitedOpen && offset === this.received ? this.buffer : undefined;
    const burst = this.bursts.find(tag);
    if (burst === undefined || offset !== burst.position || offset + pdu.dataLength > burst.end)
      return undefined;
    return this.buffer;
  }

  /** A Data-Out PDU of this command. */
  dataOut(pdu: Pdu): void {
    if (this.executing || this.ended || !this.writes) return;
    if (!pdu.dataIntact) this.transferFault ??= protocolSense.SERVICE_CRC_ERROR;
    if (this.held !== undefined) this.hold(this.held, pdu);
    else if (pdu.header.readInt32BE(Bhs.TRANSFER_TAG) === NO_TAG_SIGNED) this.unsolicited(pdu);
    else if (!this.solicited(pdu)) return;
    this.continueTransfer();
  }

  private hold(held: Pdu[], pdu: Pdu): void {
    const sum = held.reduce((bytes, { dataLength }) => bytes + dataLength, pdu.dataLength);
    if (sum > this.session.parameters.firstBurstLength || held.length >= MAX_HELD)
      throw new IscsiProtocolError('more unsolicited data than was agreed');
    this.session.held.take(pdu);
    held.push(pdu.copy());
  }

  private dropHeld(): void {
    if (this.held === undefined) return;
    for (const pdu of this.held) this.session.held.give(pdu);
    this.held = undefined;
  }

  private unsolicited(pdu: Pdu): void {
    const bhs = pdu.header;
    const { firstBurstLength } = this.session.parameters;
    const offset = bhs.readUInt32BE(Bhs.BUFFER_OFFSET);
    const limit = Math.min(firstBurstLength, this.expectedLength);
    if (!this.unsolicitedOpen || offset + pdu.dataLength > limit)
      this.transferFault ??= protocolSense.UNEXPECTED_UNSOLICITED_DATA;
    else if (bhs.readInt32BE(Bhs.DATA_SN) !== this.unsolicitedDataSn || offset !== this.received)
      this.transferFault ??= protocolSense.INCORRECT_AMOUNT_OF_DATA;
    else this.store(pdu, offset);
    this.unsolicitedDataSn++;
    this.received += pdu.dataLength;
    this.requested = this.received;
    if ((bhs[Bhs.FLAGS] & FINAL) !== 0) this.unsolicitedOpen = false;
  }

  /** False when we asked for no such data. */
  private solicited(pdu: Pdu): boolean {
    const bhs = pdu.header;
    const burst = this.bursts.find(bhs.readInt32BE(Bhs.TRANSFER_TAG));
    if (burst === undefined) {
      rejectPdu(this.connection, RejectReason.INVALID_PDU_FIELD, bhs);
      return false;
    }
    const offset = bhs.readUInt32BE(Bhs.BUFFER_OFFSET);
    const bad =
      bhs.readInt32BE(Bhs.DATA_SN) !== burst.dataSn ||
      offset !== burst.position ||
      offset + pdu.dataLength > burst.end;
    if (bad) this.transferFault ??= protocolSense.INCORRECT_AMOUNT_OF_DATA;
    else this.store(pdu, offset);
    burst.dataSn++;
    burst.position = Math.min(burst.end, burst.position + pdu.dataLength);
    this.received += pdu.dataLength;
    if ((bhs[Bhs.FLAGS] & FINAL) === 0) return true;
    if (!bad && burst.position !== burst.end) this.transferFault ??= protocolSense.INCORRECT_AMOUNT_OF_DATA;
    this.bursts.close(burst);
    return true;
  }

  private store(pdu: Pdu, offset: number): void {
    const { bytes } = this.buffer!;
    // It may have been received in its place already.
    if (pdu.bytes === bytes || pdu.dataLength === 0) return;
    // Beyond our buffer nothing is kept: the core refuses transfers of that length.
    const length = Math.min(pdu.dataLength, this.bufferLength - offset);
    if (length > 0) bytes.set(pdu.bytes.subarray(pdu.dataAt, pdu.dataAt + length), offset);
  }

  private continueTransfer(): void {
    if (this.unsolicitedOpen || this.ended || this.executing || this.held !== undefined) return;
    const { maxOutstandingR2T, maxBurstLength } = this.session.parameters;
    while (
      this.transferFault === undefined &&
      this.requested < this.bufferLength &&
      this.bursts.count < maxOutstandingR2T
    ) {
      const end = Math.min(this.bufferLength, this.requested + maxBurstLength);
      this.requestBurst(this.requested, end);
      this.requested = end;
    }
    if (this.bursts.count === 0) this.run();
  }

  private requestBurst(start: number, end: number): void {
    const tag = this.connection.nextTransferTag();
    this.bursts.open(tag, start, end);
    const pdu = header(TargetOpcode.R2T, this.taskTag);
    this.lunField.copy(pdu, Bhs.LUN);
    pdu.writeInt32BE(tag, Bhs.TRANSFER_TAG);
    pdu.writeInt32BE(this.r2ts++, Bhs.DATA_SN);
    pdu.writeUInt32BE(start, Bhs.BUFFER_OFFSET);
    pdu.writeUInt32BE(end - start, Bhs.DESIRED_LENGTH);
    this.connection.send(pdu, false);
  }

  /** Hands the task to the core: it may be over, and this object in use again, when this returns. */
  private run(): void {
    this.executing = true;
    const { task, buffer, input } = this;
    if (this.transferFault !== undefined) {
      sendFault(this, this.transferFault);
      this.end();
      return;
    }
    if (buffer !== undefined) {
      const list = this.writes ? task.dataOut : task.dataIn;
      list.add(buffer.region, buffer.offset, this.bufferLength);
    } else if (input !== undefined) {
      task.dataOut.add(input.scratch.region, input.scratch.offset + this.inputAt, this.bufferLength);
    }
    execute(task, this.session.environment);
  }

  taskDone(task: Task): void {
    if (!task.aborted || task.statusDue) this.respond();
    this.end();
  }

  private respond(): void {
    const { task } = this;
    const difference = this.expectedLength - task.transferLength;
    const flag = difference > 0 ? ResidualFlag.UNDERFLOW : difference < 0 ? ResidualFlag.OVERFLOW : 0;
    const residual = Math.abs(difference);
    const clean = task.status === Status.GOOD || task.status === Status.CONDITION_MET;
    if (this.reads && task.transferred > 0 && this.buffer !== undefined) {
      const length = Math.min(task.transferred, this.bufferLength);
      this.sending = true;
      sendDataIn(this, this.buffer.bytes, length, clean, flag, residual);
      if (clean) return;
    }
    sendResponse(this, flag, residual);
  }

  /** The data-in has left. */
  sent(): void {
    this.sending = false;
    if (this.ended) this.release();
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
    const { lun, tagLow } = this.task;
    return new Promise((resolve) => {
      const previous = this.onEnd;
      this.onEnd = () => {
        previous?.();
        resolve();
      };
      manage({ function: TaskManagementFunction.ABORT_TASK, nexus, lun, tagHigh: 0, tagLow }, () => {});
    });
  }

  private end(): void {
    if (this.ended) return;
    this.ended = true;
    this.dropHeld();
    this.session.commands.delete(this);
    this.onEnd?.();
    if (!this.sending) this.release();
  }

  /** Gives back what the command held, and the command itself. */
  private release(): void {
    const { buffer, input, session } = this;
    // The budget still knows it, see `bufferGranted`: it is not used again.
    if (this.claiming) return;
    if (buffer !== undefined) {
      this.buffer = undefined;
      this.connection.detach(buffer.bytes);
      session.environment.memory.release(buffer);
      session.budget.giveBack(this.bufferLength);
    }
    if (input !== undefined) {
      this.input = undefined;
      this.connection.portal.node.inputs.giveBack(input);
      session.budget.giveBack(this.bufferLength);
    }
    this.recycle();
  }

  private recycle(): void {
    this.task.reset();
    this.bursts.clear();
    this.dataInPdus = 0;
    this.r2ts = 0;
    this.received = 0;
    this.requested = 0;
    this.unsolicitedDataSn = 0;
    this.executing = false;
    this.ended = false;
    this.onEnd = undefined;
    this.transferFault = undefined;
    this.pool.give(this);
  }
}
