/**
 * One row per command: the single place that says everything about it. Dispatch, REPORT SUPPORTED OPERATION
 * CODES, reservation conflicts, ALUA rules, traces and the documentation's command table all read these rows.
 */
import type { LogicalUnit } from './logical-unit.ts';
import type { Task } from './task.ts';

export type Direction = 'none' | 'in' | 'out';

/**
 * What a reservation held by another I_T nexus does to the command (SPC-4 table 65, SBC-3 table 13; RESERVE:
 * SPC-2 table 8): `allowed` always runs; `persistent` runs beside every persistent reservation but conflicts with
 * RESERVE, as `read` and `write` do; `read` conflicts with exclusive access types; `write` conflicts with every
 * type; `own` means the handler decides (PERSISTENT RESERVE, RESERVE, RELEASE).
 */
export type ReservationRule = 'allowed' | 'persistent' | 'read' | 'write' | 'own';

/**
 * In which asymmetric access states it runs (SPC-4 5.15.2.4): `any` in all; `unavailable` in all but transitioning
 * and offline; `standby` in the active states and standby; `active` only in the active states.
 */
export type AluaRule = 'any' | 'unavailable' | 'standby' | 'active';

export interface CommandRow {
  /** The standard's name, with service action: `READ CAPACITY(16)`. */
  readonly name: string;
  readonly opcode: number;
  readonly serviceAction?: number;
  /** Bytes. */
  readonly cdbLength: number;
  /**
   * CDB USAGE DATA (SPC-4 6.35.3) of every byte: a 1 bit may be set by the initiator. Byte 0 is the opcode; a
   * service action stands in its place. The device server refuses every other bit with a field pointer.
   */
  readonly usage: readonly number[];
  readonly direction: Direction;
  readonly reservation: ReservationRule;
  /** CDBs that run beside every reservation though the rule says otherwise: START STOP UNIT with START, say. */
  readonly passesReservations?: (cdb: Uint8Array) => boolean;
  readonly alua: AluaRule;
  /** A pending unit attention is reported instead (`report`), or left alone while the command runs (`keep`). */
  readonly unitAttention: 'report' | 'keep';
  /** Runs ahead of all others, as if sent with the HEAD OF QUEUE attribute (SPC-4 6.6.1, 6.33, 6.39). */
  readonly headOfQueue?: true;
  /** Refused while the medium is not ready: stopped, formatting, sanitizing. */
  readonly needsReady: boolean;
  /** Refused on a write-protected unit. */
  readonly writes: boolean;
  /** NOMINAL COMMAND PROCESSING TIMEOUT, seconds (SPC-4 6.35.4). */
  readonly timeout: number;
  /** Where it is defined: `SBC-3 5.8`. */
  readonly standard: string;
  /** Absent: always. A unit whose attributes turn the feature off answers INVALID COMMAND OPERATION CODE. */
  readonly supported?: (unit: LogicalUnit) => boolean;
  /** Runs the command; ends, now or later, with exactly one `task.good()`, `task.fail(…)` or `task.finish(…)`. */
  readonly handler: (task: Task) => void;
}

/**
 * A row as the data path reads it. All are made here, so that they have one shape: V8 reads a field of literals with
 * different ones by a look-up each time.
 */
export class Command implements CommandRow {
  readonly name: string;
  readonly opcode: number;
  readonly serviceAction: number | undefined;
  readonly cdbLength: number;
  readonly usage: readonly number[];
  /** The bytes after the opcode in which not every bit may be set: the byte's number << 8 | the forbidden bits. */
  private readonly restricted: Uint16Array;
  /** Whether the three fields after this say all of it, as for nearly all commands: then no loop is needed. */
  private readonly isBrief: boolean;
  /** Of up to three entries of `restricted`, byte and bits; no bits where there are fewer. */
  private readonly byte1: number;
  private readonly bits1: number;
  private readonly byte2: number;
  private readonly bits2: number;
  private readonly byte3: number;
  private readonly bits3: number;
  readonly direction: Direction;
  readonly reservation: ReservationRule;
  readonly passesReservations: ((cdb: Uint8Array) => boolean) | undefined;
  readonly alua: AluaRule;
  readonly unitAttention: 'report' | 'keep';
  readonly headOfQueue: true | undefined;
  readonly needsReady: boolean;
  readonly writes: boolean;
  readonly timeout: number;
  readonly standard: string;
  readonly supported: ((unit: LogicalUnit) => boolean) | undefined;
  readonly handler: (task: Task) => void;

  constructor(row: CommandRow) {
    if (row.usage.length !== row.cdbLength) throw new Error(`${row.name}: usage mask and CDB length differ`);
    this.name = row.name;
    this.opcode = row.opcode;
    this.serviceAction = row.serviceAction;
    this.cdbLength = row.cdbLength;
    this.usage = row.usage;
    this.restricted = Uint16Array.from(row.usage.flatMap(restriction));
    const [first = 0, second = 0, third = 0] = this.restricted;
    this.isBrief = this.restricted.length <= 3;
    this.byte1 = first >>> 8;
    this.bits1 = first & 0xff;
    this.byte2 = second >>> 8;
    this.bits2 = second & 0xff;
    this.byte3 = third >>> 8;
    this.bits3 = third & 0xff;
    this.direction = row.direction;
    this.reservation = row.reservation;
    this.passesReservations = row.passesReservations;
    this.alua = row.alua;
    this.unitAttention = row.unitAttention;
    this.headOfQueue = row.headOfQueue;
    this.needsReady = row.needsReady;
    this.writes = row.writes;
    this.timeout = row.timeout;
    this.standard = row.standard;
    this.supported = row.supported;
    this.handler = row.handler;
  }

  /** The first byte of `cdb` in which a bit is set that CDB USAGE DATA does not allow; 0, the opcode, when there is none. */
  forbiddenByte(cdb: Uint8Array): number {
    const { restricted } = this;
    const some =
      (cdb[this.byte1] & this.bits1) | (cdb[this.byte2] & this.bits2) | (cdb[this.byte3] & this.bits3);
    if (some === 0 && this.isBrief) return 0;
    for (let i = 0; i < restricted.length; i++) {
      const at = restricted[i] >>> 8;
      if ((cdb[at] & restricted[i]) !== 0) return at;
    }
    return 0;
  }
}

/** Byte `at` of a usage mask as an entry of `restricted`, if it is one. */
function restriction(mask: number, at: number): number[] {
  return at === 0 || mask === 0xff ? [] : [(at << 8) | (~mask & 0xff)];
}

/** Rows by opcode and service action; built once per device type. */
export class CommandSet {
  readonly rows: readonly Command[];
  /** Of opcodes without service actions. */
  private readonly byOpcode: (Command | undefined)[] = new Array(256).fill(undefined);
  private readonly byServiceAction: (Map<number, Command> | undefined)[] = new Array(256).fill(undefined);

  constructor(rows: readonly CommandRow[]) {
    this.rows = rows.map((row) => new Command(row));
    for (const row of this.rows) this.insert(row);
  }

  private insert(row: Command): void {
    const { opcode, serviceAction } = row;
    const others = this.byServiceAction[opcode];
    if (this.byOpcode[opcode] !== undefined) throw new Error(`${row.name}: opcode is taken`);
    if (serviceAction === undefined) {
      if (others !== undefined) throw new Error(`${row.name}: opcode is taken`);
      this.byOpcode[opcode] = row;
    } else if (others === undefined) this.byServiceAction[opcode] = new Map([[serviceAction, row]]);
    else if (others.has(serviceAction)) throw new Error(`${row.name}: service action is taken`);
    else others.set(serviceAction, row);
  }

  /** Whether the opcode is told apart by service actions. */
  hasServiceActions(opcode: number): boolean {
    return this.byServiceAction[opcode] !== undefined;
  }

  /** The row of an opcode and, where the opcode has them, its service action. */
  find(opcode: number, serviceAction: number): Command | undefined {
    return this.byOpcode[opcode] ?? this.byServiceAction[opcode]?.get(serviceAction);
  }

  /** Whether `unit` offers the command; a service action for opcodes that have none is ignored. */
  supports(unit: LogicalUnit, opcode: number, serviceAction = 0): boolean {
    const row = this.find(opcode, serviceAction);
    return row !== undefined && (row.supported === undefined || row.supported(unit));
  }

  /** Whether `unit` offers the opcode with some service action at least. */
  supportsOpcode(unit: LogicalUnit, opcode: number): boolean {
    return this.rows.some((row) => row.opcode === opcode && (row.supported?.(unit) ?? true));
  }

  /** The row of a CDB; undefined when opcode or service action is unknown. */
  lookup(cdb: Uint8Array): Command | undefined {
    const opcode = cdb[0];
    return this.byOpcode[opcode] ?? this.byServiceAction[opcode]?.get(serviceActionOf(cdb));
  }
}

/** Variable-length CDBs (7Fh) have it in bytes 8 and 9, all others in byte 1 (SPC-4 4.2.3). */
export function serviceActionOf(cdb: Uint8Array): number {
  return cdb[0] === 0x7f ? (cdb[8] << 8) | cdb[9] : cdb[1] & 0x1f;
}

/**
 * Length of a CDB by its opcode's group code (SPC-4 4.2.5.1), bytes: a length for all 256 opcodes. 0 for
 * vendor-specific groups, whose length nobody knows.
 */
export function cdbLengthOf(cdb: Uint8Array): number {
  const opcode = cdb[0];
  if (opcode === 0x7f) return 8 + cdb[7];
  switch (opcode >> 5) {
    case 0:
      return 6;
    case 1:
    case 2:
      return 10;
    case 4:
      return 16;
    case 5:
      return 12;
    default:
      return 0;
  }
}
