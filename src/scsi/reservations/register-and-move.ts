/** REGISTER AND MOVE (SPC-4 5.13.8): the holder hands its reservation to another I_T nexus, connected or not. */

import { Sense } from '../sense-spec.ts';
import { isAllRegistrants, MoveList } from './persistent-reservation-spec.ts';
import {
  idOf,
  isHolder,
  MAXIMUM_REGISTRATIONS,
  NO_KEY,
  nextGeneration,
  type PersistentState,
} from './persistent-state.ts';
import { isRegisteredWithKey } from './reserve.ts';
import {
  CONFLICT,
  change,
  type Decision,
  Faulty,
  invalidParameter,
  type OutRequest,
} from './service-action.ts';

export function registerAndMove(state: PersistentState, request: OutRequest): Decision {
  const { reservation } = state;
  const { to, unregister } = request.move!;
  const from = idOf(request.nexus);
  if (!isRegisteredWithKey(state, request)) return CONFLICT;
  if (reservation === undefined) return Faulty.serviceAction();
  if (isAllRegistrants(reservation.type) || !isHolder(state, from)) return CONFLICT;
  if (request.actionKey === NO_KEY) return Faulty.actionKey();
  const registration = { ...to, key: request.actionKey };
  const target = idOf(registration);
  // On another target port, too (SPC-4 5.13.8).
  if (to.transportId === request.nexus.transportId) return invalidParameter(MoveList.TRANSPORT_ID);

  const registrations = new Map(state.registrations).set(target, registration);
  if (unregister) registrations.delete(from);
  if (registrations.size > MAXIMUM_REGISTRATIONS)
    return { refusal: { code: Sense.INSUFFICIENT_REGISTRATION_RESOURCES } };
  return change({
    ...state,
    generation: nextGeneration(state),
    aptpl: request.aptpl,
    registrations,
    reservation: { type: reservation.type, holder: target },
  });
}
