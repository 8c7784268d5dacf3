/** PREEMPT and PREEMPT AND ABORT (SPC-4 5.13.11.2.4 to 5.13.11.2.6). */
import { Sense } from '../sense-spec.ts';
import { isReservationType, LU_SCOPE } from './persistent-reservation-spec.ts';
import {
  idOf,
  type NexusId,
  NO_KEY,
  nextGeneration,
  type PersistentState,
  registeredWith,
  reservationBy,
  withRegistrations,
} from './persistent-state.ts';
import { isRegisteredWithKey } from './reserve.ts';
import { CONFLICT, change, type Decision, Faulty, type OutRequest, tell } from './service-action.ts';

export function preempt(state: PersistentState, request: OutRequest): Decision {
  const decision = preemptAndAbort(state, request);
  return 'refusal' in decision ? decision : change(decision.state, decision.attentions);
}

/** Which of two things it does hangs on whether SERVICE ACTION RESERVATION KEY identifies the holder (table 72). */
export function preemptAndAbort(state: PersistentState, request: OutRequest): Decision {
  const { reservation, registrations } = state;
  const { actionKey } = request;
  if (!isRegisteredWithKey(state, request)) return CONFLICT;
  const named = registeredWith(state, actionKey);
  if (reservation === undefined) return removeRegistrations(state, request, named);
  if (reservation.holder === undefined) {
    if (actionKey !== NO_KEY) return removeRegistrations(state, request, named);
    return takeReservation(state, request, [...registrations.keys()]);
  }
  if (actionKey === NO_KEY) return Faulty.actionKey();
  if (registrations.get(reservation.holder)!.key === actionKey) return takeReservation(state, request, named);
  return removeRegistrations(state, request, named);
}

/** The nexus that asks becomes the holder; of the preempted, only itself stays registered. */
function takeReservation(
  state: PersistentState,
  request: OutRequest,
  preempted: readonly NexusId[],
): Decision {
  const { scope, type } = request;
  if (scope !== LU_SCOPE) return Faulty.scope();
  if (!isReservationType(type)) return Faulty.type();
  const id = idOf(request.nexus);
  const registrations = new Map(state.registrations);
  for (const other of preempted) if (other !== id) registrations.delete(other);
  const attentions = tell(preempted, id, Sense.REGISTRATIONS_PREEMPTED);
  if (type !== state.reservation!.type)
    attentions.push(...tell(registrations.keys(), id, Sense.RESERVATIONS_RELEASED));
  const next = {
    ...state,
    generation: nextGeneration(state),
    registrations,
    reservation: reservationBy(id, type),
  };
  return change(next, attentions, preempted);
}

/** Registrations go and reservations stay; the nexus that asks may well name its own key. */
function removeRegistrations(
  state: PersistentState,
  request: OutRequest,
  preempted: readonly NexusId[],
): Decision {
  if (preempted.length === 0) return CONFLICT;
  const id = idOf(request.nexus);
  const registrations = new Map(state.registrations);
  for (const other of preempted) registrations.delete(other);
  const next = withRegistrations({ ...state, generation: nextGeneration(state) }, registrations);
  return change(next, tell(preempted, id, Sense.REGISTRATIONS_PREEMPTED), preempted);
}
