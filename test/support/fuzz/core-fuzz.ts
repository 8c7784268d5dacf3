/**
 * Hostile commands against the core: random CDBs, parameter lists and segment lists from two initiators, with
 * aborts, resets, slow and failing operations in between. Whatever comes, nothing throws, every task ends exactly
 * once, and nothing that was borrowed stays out.
 */

import { OperationKind, Outcome } from '../../../src/scsi/backstore.ts';
import { blockDeviceCommands } from '../../../src/scsi/block-device-commands.ts';
import { execute } from '../../../src/scsi/device-server.ts';
import type { Scratch } from '../../../src/scsi/environment.ts';
import type { Nexus } from '../../../src/scsi/nexus.ts';
import type { SegmentList } from '../../../src/scsi/segment-list.ts';
import { TaskAttribute } from '../../../src/scsi/status-spec.ts';
import { Task, type TaskOwner } from '../../../src/scsi/task.ts';
import { manage, TaskManagementFunction } from '../../../src/scsi/task-management.ts';
import { Core, TestStore } from '../core.ts';
import { Chance } from './chance.ts';

const MAX_OUTSTANDING = 24;
/** Bytes that lead parsers astray more often than others. */
const EDGES = [0x00, 0x01, 0x02, 0x07, 0x08, 0x0f, 0x10, 0x18, 0x7f, 0x80, 0xff];

export class CoreFuzz implements TaskOwner {
  readonly core: Core;
  /** What went wrong, in words; empty when all is well. */
  readonly complaints: string[] = [];
  /** Commands that were sent. */
  runs = 0;
  private readonly chance: Chance;
  private readonly nexuses: Nexus[];
  private readonly running = new Map<Task, Scratch[]>();
  private unanswered = 0;

  constructor(seed: number) {
    this.chance = new Chance(seed);
    const protectionType = this.chance.pick([0, 0, 1, 2, 2, 3]);
    this.core = new Core({
      byteLength: 128 << 10,
      store: new TestStore(),
      removable: this.chance.oneIn(2),
      protection: protectionType !== 0,
      powerOn: this.chance.oneIn(2),
      attributes: {
        block_size: this.chance.pick([512, 4096]),
        pi_prot_type: protectionType,
        emulate_write_cache: this.chance.below(2),
      },
      capabilities: { unmap: !this.chance.oneIn(4), unmapReadsZero: !this.chance.oneIn(4) },
    });
    this.core.environment.defect = (error) => {
      this.complaints.push(`a handler threw: ${error instanceof Error ? error.stack : String(error)}`);
    };
    this.nexuses = [this.core.initiator.nexus, this.core.connect('naa.5000000000000002', 2).nexus];
  }

  /** Sends `count` commands, lets all of them end, and looks for what is left over. */
  async run(count: number): Promise<void> {
    const { backstore } = this.core;
    for (let i = 0; i < count; i++) {
      backstore.hold = this.chance.oneIn(3);
      this.fault();
      if (this.running.size < MAX_OUTSTANDING) this.send();
      if (this.chance.oneIn(12)) this.manage();
      if (this.chance.oneIn(4)) backstore.releaseHeld(this.chance.below(backstore.held.length + 1));
      if (this.chance.oneIn(3)) await new Promise(setImmediate);
      if (this.chance.oneIn(50)) this.core.environment.advance(this.chance.below(5000));
    }
    await this.settle();
  }

  taskDone(task: Task): void {
    const borrowed = this.running.get(task);
    if (borrowed === undefined) {
      this.complaints.push(`${task.row?.name ?? 'a task'} ended twice`);
      return;
    }
    this.running.delete(task);
    for (const scratch of borrowed) this.core.environment.memory.release(scratch);
    // ACA would keep everybody out until somebody clears it.
    this.core.disk.taskSet.clearAllAca();
  }

  private send(): void {
    const task = new Task(this);
    const cdb = this.cdb();
    task.cdb.set(cdb);
    task.cdbLength = this.chance.oneIn(20) ? this.chance.below(cdb.length + 1) : cdb.length;
    task.nexus = this.chance.pick(this.nexuses);
    task.lun = this.chance.oneIn(30) ? this.chance.pick([-1, 1, 0xc101, 300]) : 0;
    task.tagLow = this.chance.below(64);
    task.attribute = this.chance.oneIn(6)
      ? this.chance.pick(Object.values(TaskAttribute))
      : TaskAttribute.SIMPLE;
    const borrowed: Scratch[] = [];
    this.running.set(task, borrowed);
    if (!this.chance.oneIn(5)) this.segments(task.dataOut, borrowed, true);
    if (!this.chance.oneIn(5)) this.segments(task.dataIn, borrowed, false);
    if (this.chance.oneIn(10)) this.segments(task.protectionOut, borrowed, true);
    if (this.chance.oneIn(10)) this.segments(task.protectionIn, borrowed, false);
    this.runs++;
    execute(task, this.core.environment);
  }

  /** Mostly a real command whose fields are near an edge; sometimes noise. */
  private cdb(): Uint8Array {
    const { chance } = this;
    if (chance.oneIn(12)) return Uint8Array.from({ length: 6 + chance.below(27) }, () => chance.below(256));
    let row = chance.pick(blockDeviceCommands.rows);
    // A reservation keeps the other initiator from nearly everything.
    if (/^(RESERVE|PERSISTENT)/.test(row.name) && !chance.oneIn(4))
      row = chance.pick(blockDeviceCommands.rows);
    const cdb = Uint8Array.from(row.usage, (mask) => {
      if (chance.oneIn(2)) return 0;
      return (chance.oneIn(2) ? chance.pick(EDGES) : chance.below(256)) & mask;
    });
    cdb[0] = row.opcode;
    if (row.serviceAction !== undefined) {
      if (row.opcode === 0x7f) cdb.set([row.cdbLength - 8, row.serviceAction >> 8, row.serviceAction], 7);
      else cdb[1] = (cdb[1] & ~0x1f) | row.serviceAction;
    }
    // Most LBAs and lengths should fit the small disk: their upper bytes are 0.
    if (!chance.oneIn(4)) for (const [from, to] of UPPER_BYTES[cdb.length] ?? []) cdb.fill(0, from, to);
    if (chance.oneIn(25)) cdb[chance.below(cdb.length)] ^= 1 << chance.below(8);
    return cdb;
  }

  /** A few segments of one buffer, of any length, in any order. */
  private segments(list: SegmentList, borrowed: Scratch[], filled: boolean): void {
    const { chance } = this;
    const length = chance.pick([1, 4, 8, 16, 24, 40, 512, 520, 1024, 1040, 4096, 4104, 20_000]);
    const buffer = this.core.environment.memory.allocate(length);
    borrowed.push(buffer);
    if (filled) {
      const plain = chance.oneIn(3);
      for (let i = 0; i < Math.min(length, 96); i++) {
        buffer.bytes[i] = plain ? 0 : chance.oneIn(2) ? chance.pick(EDGES) : chance.below(256);
      }
      // Lengths that lists of parameters begin with.
      if (length >= 8 && chance.oneIn(2)) buffer.bytes.set([0, (length - 2) & 0xff, 0, (length - 8) & 0xff]);
    }
    for (let count = 1 + chance.below(4), at = 0; count > 0 && at < length; count--) {
      const part = count === 1 ? length - at : chance.below(length - at + 1);
      if (part > 0 || chance.oneIn(2)) list.add(buffer.region, buffer.offset + at, part);
      at += part;
    }
  }

  private manage(): void {
    const request = {
      function: this.chance.pick(Object.values(TaskManagementFunction)),
      nexus: this.chance.pick(this.nexuses),
      lun: 0,
      tagHigh: 0,
      tagLow: this.chance.below(64),
    };
    this.unanswered++;
    manage(request, () => void this.unanswered--);
  }

  private fault(): void {
    const { chance, core } = this;
    core.backstore.fault = chance.oneIn(20)
      ? { kind: chance.pick(Object.values(OperationKind)), outcome: chance.pick(FAULTS) }
      : undefined;
  }

  private async settle(): Promise<void> {
    const { backstore, environment, disk } = this.core;
    backstore.hold = false;
    backstore.fault = undefined;
    for (let round = 0; round < 200; round++) {
      backstore.releaseHeld();
      disk.taskSet.clearAllAca();
      await new Promise(setImmediate);
      if (round % 20 === 0) environment.advance(10_000);
      if (this.running.size === 0 && disk.rangeLocks.held === 0 && round > 5) break;
    }
    for (const task of this.running.keys()) this.complaints.push(`${task.row?.name ?? 'a task'} never ended`);
    if (this.unanswered > 0) this.complaints.push(`${this.unanswered} task management functions unanswered`);
    if (disk.rangeLocks.held !== 0) this.complaints.push(`${disk.rangeLocks.held} range locks left`);
    const { outstanding } = environment.memory;
    if (this.running.size === 0 && outstanding > 0)
      this.complaints.push(`${outstanding} scratch buffers left`);
  }
}

/** By CDB length: ranges of bytes that hold the upper parts of an LBA and of a length. */
const UPPER_BYTES: Readonly<Record<number, readonly (readonly [number, number])[]>> = {
  6: [[1, 2]],
  10: [
    [2, 5],
    [7, 8],
  ],
  12: [
    [2, 5],
    [6, 9],
  ],
  16: [
    [2, 9],
    [10, 13],
  ],
  32: [
    [12, 19],
    [28, 31],
  ],
};

const FAULTS: readonly Outcome[] = [Outcome.MEDIUM_ERROR, Outcome.NO_SPACE, Outcome.GONE, Outcome.BUSY];
