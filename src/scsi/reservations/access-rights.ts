/**
 * What the I_T nexuses may do beside a persistent reservation: the columns of the tables of commands that are
 * allowed in the presence of reservations (SPC-4 table 65, SBC-3 table 13), folded to two bits.
 */
import { admitsRegistrants, excludesReaders } from './persistent-reservation-spec.ts';
import { isHolder, type NexusId, type PersistentState } from './persistent-state.ts';

/** Bits: commands with the reservation rule `read`, and those with `write`. */
export const Right = { READ: 1, WRITE: 2 } as const;

const Opcode = { START_STOP_UNIT: 0x1b, MAINTENANCE_IN: 0xa3 } as const;
const POWER_CONDITION = 0xf0;
const START = 0x01;
const SERVICE_ACTION = 0x1f;
const REPORT_TARGET_PORT_GROUPS = 0x0a;
/** REQUEST SENSE, INQUIRY, WRITE BUFFER, READ BUFFER, LOG SENSE, READ BUFFER(16), REPORT LUNS. */
const THOUGH_LOST: ReadonlySet<number> = new Set([0x03, 0x12, 0x3b, 0x3c, 0x4d, 0x9b, 0xa0]);

const NONE = 0;
const ALL = Right.READ | Right.WRITE;

export function rightsOf(state: PersistentState, id: NexusId): number {
  const { reservation } = state;
  if (reservation === undefined || isHolder(state, id)) return ALL;
  if (admitsRegistrants(reservation.type) && state.registrations.has(id)) return ALL;
  return excludesReaders(reservation.type) ? NONE : Right.READ;
}

/**
 * Commands that need no reservation to be known: those which SPC-4 5.13.5.2 and 5.13.5.3 let through while nobody
 * knows what was reserved.
 */
export function runsThoughLost(cdb: Uint8Array): boolean {
  switch (cdb[0]) {
    case Opcode.START_STOP_UNIT:
      return (cdb[4] & (POWER_CONDITION | START)) === START;
    case Opcode.MAINTENANCE_IN:
      return (cdb[1] & SERVICE_ACTION) === REPORT_TARGET_PORT_GROUPS;
    default:
      return THOUGH_LOST.has(cdb[0]);
  }
}
