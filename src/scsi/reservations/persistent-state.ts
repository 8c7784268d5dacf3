/**
 * Registrations and the persistent reservation of one logical unit (SPC-4 5.13) as one value that is never
 * changed in place: a service action makes the next value, which comes into force once it is on stable storage.
 */
import { isAllRegistrants, type ReservationType } from './persistent-reservation-spec.ts';

/**
 * An I_T nexus for as long as configuration names it: canonical TransportID and relative target port identifier.
 * A connection that breaks and comes back is the same.
 */
export type NexusId = string;

/** An I_T nexus that is registered or may be. */
export interface NexusName {
  /** Canonical, in hexadecimal. */
  readonly transportId: string;
  readonly relativePort: number;
}

export interface Registration extends NexusName {
  /** Reservation key, 16 hexadecimal digits. */
  readonly key: string;
}

export interface PersistentReservation {
  readonly type: ReservationType;
  /** Undefined for the all registrants types: then every registered I_T nexus holds it. */
  readonly holder: NexusId | undefined;
}

export interface PersistentState {
  /** PRGENERATION. */
  readonly generation: number;
  /** APTPL of the last REGISTER: whether all this outlives a loss of power. */
  readonly aptpl: boolean;
  /** In order of registration. */
  readonly registrations: ReadonlyMap<NexusId, Registration>;
  readonly reservation: PersistentReservation | undefined;
  /** What was saved cannot be read: nobody knows who may write (SPC-4 5.13.11.3). */
  readonly lost: boolean;
}

/** The reservation key that stands for no registration. */
export const NO_KEY = '0000000000000000';

/** Registrations of one logical unit at most: an initiator can name any number of ports. */
export const MAXIMUM_REGISTRATIONS = 1024;

export const NOTHING_RESERVED: PersistentState = {
  generation: 0,
  aptpl: false,
  registrations: new Map(),
  reservation: undefined,
  lost: false,
};

export function idOf(name: NexusName): NexusId {
  return `${name.transportId},${name.relativePort}`;
}

/** Whether `id` is a persistent reservation holder (SPC-4 5.13.10). */
export function isHolder(state: PersistentState, id: NexusId): boolean {
  const { reservation, registrations } = state;
  if (reservation === undefined) return false;
  return reservation.holder === undefined ? registrations.has(id) : reservation.holder === id;
}

/** The reservation that `id` makes. */
export function reservationBy(id: NexusId, type: ReservationType): PersistentReservation {
  return { type, holder: isAllRegistrants(type) ? undefined : id };
}

/** I_T nexuses registered with `key`. */
export function registeredWith(state: PersistentState, key: string): NexusId[] {
  return [...state.registrations].filter(([, registration]) => registration.key === key).map(([id]) => id);
}

/** PRGENERATION is a 32-bit counter that wraps (SPC-4 6.15.2). */
export function nextGeneration(state: PersistentState): number {
  return (state.generation + 1) % 0x1_0000_0000;
}

/**
 * `registrations` in place of those of `state`. The reservation goes with its holder, and one of an all
 * registrants type with the last registration (SPC-4 5.13.11.2.3).
 */
export function withRegistrations(
  state: PersistentState,
  registrations: ReadonlyMap<NexusId, Registration>,
): PersistentState {
  const { reservation } = state;
  const held =
    reservation !== undefined &&
    (reservation.holder === undefined ? registrations.size > 0 : registrations.has(reservation.holder));
  return { ...state, registrations, reservation: held ? reservation : undefined };
}
