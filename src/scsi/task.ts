/**
 * A task (SAM-5 4.8): one command from its arrival to its status. Pooled by the fabric; nothing is allocated for
 * one that ends with GOOD.
 *
 * Life: the fabric fills nexus, LUN, tag, attribute, CDB and segments, then calls `DeviceServer.execute`; the
 * core ends it with exactly one `finish`, which calls `owner.taskDone`. After that the fabric may reuse it.
 */
import { BackstoreOperation } from './backstore.ts';
import type { Command } from './command.ts';
import type { Environment } from './environment.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { ItlNexus, Nexus } from './nexus.ts';
import { SegmentList } from './segment-list.ts';
import { buildSense, type SenseDetail } from './sense.ts';
import { Sense, type SenseCode } from './sense-spec.ts';
import { Status, TaskAttribute } from './status-spec.ts';

/** The longest CDB of any standard: 7Fh with an additional length of 252 (SPC-4 4.2.3). */
export const MAX_CDB_LENGTH = 260;
/** SPC-4 4.5.1. */
export const MAX_SENSE_LENGTH = 252;

export interface TaskOwner {
  taskDone(task: Task): void;
}

/** Who ended a task early; decides what its initiator hears (SAM-5 5.3.1, TAS). */
export const AbortedBy = { NOBODY: 0, OWN_NEXUS: 1, OTHER_NEXUS: 2 } as const;
export type AbortedBy = (typeof AbortedBy)[keyof typeof AbortedBy];

const { NOBODY } = AbortedBy;
const { GOOD } = Status;
const { SIMPLE } = TaskAttribute;

export class Task {
  // Set by the fabric.
  owner: TaskOwner;
  nexus: Nexus | undefined = undefined;
  /** 0 to 16383, a well-known LUN, or INVALID_LUN. */
  lun = 0;
  /** The fabric's tag, unique among the tasks of a nexus; 64-bit tags as two halves. */
  tagHigh = 0;
  tagLow = 0;
  attribute: TaskAttribute = TaskAttribute.SIMPLE;
  readonly cdb: Uint8Array;
  /** Bytes of `cdb` that the initiator sent. */
  cdbLength = 0;
  /** From the initiator. */
  readonly dataOut = new SegmentList();
  /** To the initiator. */
  readonly dataIn = new SegmentList();
  /**
   * Protection information of transports that keep it apart from the data (virtio-scsi with T10_PI). While empty,
   * it stands behind each block in `dataOut` and `dataIn`, as SBC-3 4.22 has it. Not counted by `transferLength`
   * and `transferred`.
   */
  readonly protectionOut = new SegmentList(1);
  readonly protectionIn = new SegmentList(1);

  // Set by the core.
  environment: Environment | undefined = undefined;
  itl: ItlNexus | undefined = undefined;
  row: Command | undefined = undefined;
  status: Status = Status.GOOD;
  readonly sense = new Uint8Array(MAX_SENSE_LENGTH);
  senseLength = 0;
  /** Bytes that the command asks to move; more than the buffer holds is an overflow, less an underflow. */
  transferLength = 0;
  /** Bytes that moved. */
  transferred = 0;
  /** For the data commands: no allocation of their own. */
  readonly operation = new BackstoreOperation();
  /** First logical block and number of blocks of a running medium access, for range locks and sense data. */
  lba = 0;
  blocks = 0;
  abortedBy: AbortedBy = AbortedBy.NOBODY;
  /** Whether the device server is between `execute` and `finish` with it. */
  active = false;
  /** Whether its handler may run (the enabled state of SAM-5 8.4); false while others must end first. */
  started = false;
  /** Whether it has ended but its status waits for the end of an ACA condition (the blocked state). */
  held = false;
  /**
   * Set by commands that run operations of their own or wait for something: called when the task is aborted, so
   * that they come to their end sooner. They still end it with `finish`.
   */
  onAbort: (() => void) | undefined = undefined;
  /** Whether a task set holds it. */
  inTaskSet = false;
  /** Task set links; see task-set.ts. */
  next: Task | undefined = undefined;
  previous: Task | undefined = undefined;

  /** `cdb` is the buffer for its CDBs, `MAX_CDB_LENGTH` bytes: a fabric may have one where it receives them. */
  constructor(owner: TaskOwner, cdb: Uint8Array = new Uint8Array(MAX_CDB_LENGTH)) {
    this.owner = owner;
    this.cdb = cdb;
    this.operation.context = this;
  }

  get logicalUnit(): LogicalUnit {
    return this.itl!.logicalUnit;
  }

  get aborted(): boolean {
    return this.abortedBy !== NOBODY;
  }

  /**
   * Whether the initiator is to receive a status: not for a task that its own I_T nexus aborted, nor, unless TAS
   * is 1, for one that another did (SAM-5 5.6). Fabrics that must answer anyway then say "aborted".
   */
  get statusDue(): boolean {
    if (this.abortedBy === NOBODY) return true;
    return this.abortedBy === AbortedBy.OTHER_NEXUS && this.logicalUnit.control.tas;
  }

  /** Hurries an aborted task to its end: what it waits for is cancelled, as far as that can be done. */
  cancel(): void {
    this.operation.cancel();
    this.onAbort?.();
  }

  /** Ready for the next command: everything but the fabric's own fields, and what `execute` sets in any case. */
  reset(): void {
    this.status = GOOD;
    this.senseLength = 0;
    this.transferLength = 0;
    this.transferred = 0;
    this.lba = 0;
    this.blocks = 0;
    this.abortedBy = NOBODY;
    this.started = false;
    this.held = false;
    this.onAbort = undefined;
    this.attribute = SIMPLE;
    this.dataIn.clear();
    this.dataOut.clear();
    this.protectionIn.clear();
    this.protectionOut.clear();
  }

  /** GOOD. */
  good(): void {
    this.finish(GOOD);
  }

  /** CHECK CONDITION with sense data in the format that the logical unit is set to. */
  fail(code: SenseCode, detail: SenseDetail = {}): void {
    this.senseLength = buildSense(this.sense, code, detail, this.itl?.logicalUnit.descriptorSense ?? false);
    this.finish(Status.CHECK_CONDITION);
  }

  /** CHECK CONDITION, INVALID FIELD IN CDB; `bit` is the field's most significant bit within `byte`. */
  failCdbField(byte: number, bit?: number): void {
    this.fail(Sense.INVALID_FIELD_IN_CDB, { field: fieldPointer(true, byte, bit) });
  }

  /** CHECK CONDITION, INVALID FIELD IN PARAMETER LIST. */
  failParameterField(byte: number, bit?: number): void {
    this.fail(Sense.INVALID_FIELD_IN_PARAMETER_LIST, { field: fieldPointer(false, byte, bit) });
  }

  /** Ends the task; the logical unit's task set lets the next one run. */
  finish(status: Status): void {
    if (!this.active) throw new Error(`${this.row?.name ?? 'task'} finished twice`);
    this.active = false;
    this.status = status;
    if (this.inTaskSet) this.itl!.logicalUnit.taskSet.finish(this);
    else this.owner.taskDone(this);
  }

  /**
   * Answers with parameter data: copies `length` bytes of `data`, truncated to the allocation length and to the
   * buffer (SPC-4 4.2.5.6), and ends the task with GOOD.
   */
  respond(data: Uint8Array, allocationLength: number, length = data.length): void {
    this.transferLength = Math.min(length, allocationLength);
    this.transferred = this.copyToInitiator(data, 0, this.transferLength, 0);
    this.good();
  }

  /** Copies `data` to byte `position` of the data-in buffer; returns how many bytes fitted. */
  copyToInitiator(data: Uint8Array, at: number, length: number, position: number): number {
    const memory = this.environment!.memory;
    let copied = 0;
    this.dataIn.eachPart(position, length, (region, offset, done, part) => {
      memory.write(region, offset, data, at + done, part);
      copied += part;
    });
    return copied;
  }

  /** Copies from byte `position` of the data-out buffer; returns how many bytes there were. */
  copyFromInitiator(into: Uint8Array, at: number, length: number, position: number): number {
    const memory = this.environment!.memory;
    let copied = 0;
    this.dataOut.eachPart(position, length, (region, offset, done, part) => {
      memory.read(region, offset, into, at + done, part);
      copied += part;
    });
    return copied;
  }

  /**
   * The parameter list, copied once so that the initiator cannot change it after it was checked. Undefined (and
   * the task has failed with PARAMETER LIST LENGTH ERROR) when fewer than `length` bytes were sent.
   */
  parameterList(length: number): Uint8Array | undefined {
    this.transferLength = length;
    if (this.dataOut.byteLength < length) {
      this.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
      return undefined;
    }
    const list = new Uint8Array(length);
    this.transferred = this.copyFromInitiator(list, 0, length, 0);
    return list;
  }
}

function fieldPointer(inCdb: boolean, byte: number, bit: number | undefined) {
  return bit === undefined ? { inCdb, byte } : { inCdb, byte, bit };
}
