/**
 * What the I_T nexuses may do beside a persistent reservation: the columns of the tables of commands that are
 * allowed in the presence of reservations (SPC-4 table 65, SBC-3 table 13), folded to two bits.
 */
import { admitsRegistrants, excludesReaders } from './persistent-reservation-spec.ts';
import { isHolder, type NexusId, type PersistentState } from './persistent-state.ts';

/** Bits: commands with the reservation rule `read`, and those with `write`. */
export const Right = { READ: 1, WRITE: 2 } as const;

const NONE = 0;
const ALL = Right.READ | Right.WRITE;

export function rightsOf(state: PersistentState, id: NexusId): number {
  const { reservation } = state;
  if (reservation === undefined || isHolder(state, id)) return ALL;
  if (admitsRegistrants(reservation.type) && state.registrations.has(id)) return ALL;
  return excludesReaders(reservation.type) ? NONE : Right.READ;
}
