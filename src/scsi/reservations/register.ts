/** REGISTER and REGISTER AND IGNORE EXISTING KEY (SPC-4 5.13.7, tables 67 and 68; unregistering 5.13.11.2.3). */
import { Sense } from '../sense-spec.ts';
import { admitsRegistrants, BasicList } from './persistent-reservation-spec.ts';
import {
  idOf,
  MAXIMUM_REGISTRATIONS,
  type NexusId,
  type NexusName,
  NO_KEY,
  nextGeneration,
  type PersistentState,
  type Registration,
  withRegistrations,
} from './persistent-state.ts';
import {
  CONFLICT,
  change,
  type Decision,
  invalidParameter,
  type OutRequest,
  tell,
} from './service-action.ts';

export function register(state: PersistentState, request: OutRequest): Decision {
  return registerWith(state, request, (registered) => request.key === (registered?.key ?? NO_KEY));
}

export function registerAndIgnore(state: PersistentState, request: OutRequest): Decision {
  return registerWith(state, request, () => true);
}

/** `accepts` says whether RESERVATION KEY is right for an I_T nexus with this registration, or with none. */
function registerWith(
  state: PersistentState,
  request: OutRequest,
  accepts: (registered: Registration | undefined) => boolean,
): Decision {
  const { nexus, actionKey, specified, ports } = request;
  const id = idOf(nexus);
  const own = state.registrations.get(id);
  if (!accepts(own)) return CONFLICT;
  if (own === undefined && actionKey === NO_KEY) return change(state);
  if (own !== undefined && specified !== undefined) return invalidParameter(BasicList.FLAGS, 3);

  const registrations = new Map(state.registrations);
  // As if the command had come through each of the ports (SPC-4 6.16.3, ALL_TG_PT): where it would have met a
  // reservation conflict, nothing changes.
  for (const relativePort of ports) {
    const name: NexusName = { ...nexus, relativePort };
    if (accepts(state.registrations.get(idOf(name)))) setKey(registrations, name, actionKey);
  }
  for (const transportId of specified ?? []) {
    for (const relativePort of ports) {
      const name: NexusName = { transportId, relativePort };
      if (state.registrations.has(idOf(name))) return invalidParameter(BasicList.TRANSPORT_IDS);
      setKey(registrations, name, actionKey);
    }
  }
  if (registrations.size > MAXIMUM_REGISTRATIONS)
    return { refusal: { code: Sense.INSUFFICIENT_REGISTRATION_RESOURCES } };

  const next = withRegistrations(
    { ...state, generation: nextGeneration(state), aptpl: request.aptpl },
    registrations,
  );
  return change(next, releasedByUnregistering(state, next, id));
}

function setKey(registrations: Map<NexusId, Registration>, name: NexusName, key: string): void {
  if (key === NO_KEY) registrations.delete(idOf(name));
  else registrations.set(idOf(name), { ...name, key });
}

/** The holder of a registrants only reservation has gone, and the reservation with it: the others are told. */
function releasedByUnregistering(before: PersistentState, after: PersistentState, id: NexusId) {
  const { reservation } = before;
  if (reservation === undefined || after.reservation !== undefined || !admitsRegistrants(reservation.type))
    return [];
  return tell(after.registrations.keys(), id, Sense.RESERVATIONS_RELEASED);
}
