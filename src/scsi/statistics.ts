/**
 * Counters of a logical unit since it was made, for the log pages and the metrics. READ and WRITE pay one call
 * with two additions; everything else is counted where it is slow anyway.
 */
import { type BackstoreOperation, OperationKind, Outcome } from './backstore.ts';
import type { Command } from './command.ts';

/** Places in `Statistics.counts`. READ and WRITE are `OperationKind`'s own numbers, so no lookup is needed. */
export const Counter = {
  READ_COMMANDS: OperationKind.READ,
  WRITE_COMMANDS: OperationKind.WRITE,
  READ_BYTES: 2 + OperationKind.READ,
  WRITE_BYTES: 2 + OperationKind.WRITE,
  VERIFY_BYTES: 4,
  READ_ERRORS: 5,
  WRITE_ERRORS: 6,
  VERIFY_ERRORS: 7,
  /** Writes that were answered before they were on stable storage. */
  CACHED_WRITES: 8,
  /** From stopped to active. */
  START_STOP_CYCLES: 9,
  /** Media loaded. */
  LOAD_CYCLES: 10,
} as const;
export type Counter = (typeof Counter)[keyof typeof Counter];

const { READ, WRITE } = OperationKind;
const { CACHED_WRITES, WRITE_BYTES, READ_BYTES, VERIFY_BYTES, WRITE_ERRORS, READ_ERRORS, VERIFY_ERRORS } =
  Counter;
const COUNTERS = Object.keys(Counter).length;

/** VERIFY and WRITE AND VERIFY: what they read, they read to verify. */
const VERIFYING_OPCODES = new Set([0x2e, 0x2f, 0x8e, 0x8f, 0xae, 0xaf]);

export class Statistics {
  /** They only grow, as metrics need it. */
  readonly counts = new Float64Array(COUNTERS);
  /** What the counters were when a reader set its view of them to 0. */
  private readonly baselines = new Map<object, Float64Array>();

  /** A READ or WRITE has moved the operation's bytes. */
  transferred(operation: BackstoreOperation): void {
    const { counts } = this;
    counts[operation.kind]++;
    counts[2 + operation.kind] += operation.length;
    if (!operation.forceUnitAccess && operation.kind === WRITE) counts[CACHED_WRITES]++;
  }

  /** A step of a longer command has moved bytes. */
  stepped(operation: BackstoreOperation, row: Command | undefined): void {
    if (operation.kind === WRITE) this.counts[WRITE_BYTES] += operation.length;
    if (operation.kind !== READ) return;
    this.counts[isVerifying(row) ? VERIFY_BYTES : READ_BYTES] += operation.length;
  }

  /** An operation has failed; what was cancelled or told to come later is no error. */
  failed(operation: BackstoreOperation, row: Command | undefined): void {
    if (operation.outcome === Outcome.CANCELLED || operation.outcome === Outcome.BUSY) return;
    if (operation.kind !== READ) this.counts[WRITE_ERRORS]++;
    else this.counts[isVerifying(row) ? VERIFY_ERRORS : READ_ERRORS]++;
  }

  /** The counters since `clear` was called with the same reader, a log page. */
  since(reader: object): Float64Array {
    const baseline = this.baselines.get(reader);
    return baseline === undefined ? this.counts : this.counts.map((count, i) => count - baseline[i]);
  }

  clear(reader: object): void {
    this.baselines.set(reader, this.counts.slice());
  }
}

function isVerifying(row: Command | undefined): boolean {
  return row !== undefined && VERIFYING_OPCODES.has(row.opcode);
}
