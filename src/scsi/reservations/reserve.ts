/** RESERVE, RELEASE and CLEAR (SPC-4 5.13.9, 5.13.11.2.2, 5.13.11.2.7), and REPLACE LOST RESERVATION (5.13.11.3). */
import { Sense } from '../sense-spec.ts';
import { admitsRegistrants, BasicList, isReservationType, LU_SCOPE } from './persistent-reservation-spec.ts';
import {
  idOf,
  isHolder,
  NO_KEY,
  NOTHING_RESERVED,
  nextGeneration,
  type PersistentState,
  reservationBy,
  withRegistrations,
} from './persistent-state.ts';
import {
  CONFLICT,
  change,
  type Decision,
  Faulty,
  invalidParameter,
  type OutRequest,
  tell,
} from './service-action.ts';

const INVALID_RELEASE: Decision = { refusal: { code: Sense.INVALID_RELEASE_OF_PERSISTENT_RESERVATION } };

/** The registration key of the nexus that asks, if RESERVATION KEY is that key: else RESERVATION CONFLICT. */
export function isRegisteredWithKey(state: PersistentState, request: OutRequest): boolean {
  return state.registrations.get(idOf(request.nexus))?.key === request.key;
}

export function reserve(state: PersistentState, request: OutRequest): Decision {
  const { scope, type } = request;
  const id = idOf(request.nexus);
  if (!isRegisteredWithKey(state, request)) return CONFLICT;
  if (scope !== LU_SCOPE) return Faulty.scope();
  if (!isReservationType(type)) return Faulty.type();
  if (state.reservation === undefined) return change({ ...state, reservation: reservationBy(id, type) });
  return isHolder(state, id) && state.reservation.type === type ? change(state) : CONFLICT;
}

export function release(state: PersistentState, request: OutRequest): Decision {
  const { reservation } = state;
  const id = idOf(request.nexus);
  if (!isRegisteredWithKey(state, request)) return CONFLICT;
  if (reservation === undefined || !isHolder(state, id)) return change(state);
  if (request.scope !== LU_SCOPE || request.type !== reservation.type) {
    return INVALID_RELEASE;
  }
  const others = admitsRegistrants(reservation.type) ? state.registrations.keys() : [];
  return change({ ...state, reservation: undefined }, tell(others, id, Sense.RESERVATIONS_RELEASED));
}

export function clear(state: PersistentState, request: OutRequest): Decision {
  const id = idOf(request.nexus);
  if (!isRegisteredWithKey(state, request)) return CONFLICT;
  const next = withRegistrations({ ...state, generation: nextGeneration(state) }, new Map());
  const registered = [...state.registrations.keys()];
  return { ...change(next, tell(registered, id, Sense.RESERVATIONS_PREEMPTED)), allowingRemoval: registered };
}

/** Makes the nexus that asks the only one registered, and the holder, once nobody knows who was. */
export function replaceLost(state: PersistentState, request: OutRequest): Decision {
  const { nexus, actionKey, scope, type } = request;
  if (!state.lost) {
    const keptOut = state.reservation !== undefined && !state.registrations.has(idOf(nexus));
    return keptOut ? CONFLICT : INVALID_RELEASE;
  }
  if (scope !== LU_SCOPE) return Faulty.scope();
  if (!isReservationType(type)) return Faulty.type();
  if (request.key !== NO_KEY) return invalidParameter(BasicList.RESERVATION_KEY);
  if (actionKey === NO_KEY) return Faulty.actionKey();
  const registration = { ...nexus, key: actionKey };
  const id = idOf(registration);
  return change({
    ...NOTHING_RESERVED,
    registrations: new Map([[id, registration]]),
    reservation: reservationBy(id, type),
  });
}
