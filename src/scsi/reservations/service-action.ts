/**
 * What a PERSISTENT RESERVE OUT service action is given, and what it decides. The actions themselves are pure
 * functions from a state and a request to a decision: nothing has happened yet when they return.
 */
import type { FieldPointer } from '../sense.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { BasicList } from './persistent-reservation-spec.ts';
import type { NexusId, NexusName, PersistentState } from './persistent-state.ts';

export interface OutRequest {
  /** On which the command was received. */
  readonly nexus: NexusName;
  /** RESERVATION KEY, 16 hexadecimal digits. */
  readonly key: string;
  /** SERVICE ACTION RESERVATION KEY. */
  readonly actionKey: string;
  readonly scope: number;
  /** Unchecked. */
  readonly type: number;
  readonly aptpl: boolean;
  /** Relative target port identifiers that a registration is for: all known with ALL_TG_PT, else the nexus's. */
  readonly ports: readonly number[];
  /** SPEC_I_PT: initiator ports to be registered too, as canonical TransportIDs; undefined when the bit is 0. */
  readonly specified: readonly string[] | undefined;
  /** REGISTER AND MOVE: to whom, and whether the nexus itself gives up its registration. */
  readonly move: { readonly to: NexusName; readonly unregister: boolean } | undefined;
}

export interface UnitAttentionFor {
  readonly id: NexusId;
  readonly attention: SenseCode;
}

/** The command succeeds once `state` is in force and everybody concerned is told. */
export interface Change {
  readonly state: PersistentState;
  readonly attentions: readonly UnitAttentionFor[];
  /** I_T nexuses whose commands PREEMPT AND ABORT ends. */
  readonly preempted: readonly NexusId[];
  /** I_T nexuses whose PREVENT ALLOW MEDIUM REMOVAL ends (SBC-4 5.15). */
  readonly allowingRemoval: readonly NexusId[];
}

/** RESERVATION CONFLICT, or CHECK CONDITION with the given sense. */
export type Refusal = 'conflict' | { readonly code: SenseCode; readonly field?: FieldPointer };

export interface Refused {
  readonly refusal: Refusal;
}

export type Decision = Change | Refused;

export type ServiceAction = (state: PersistentState, request: OutRequest) => Decision;

export const CONFLICT: Decision = { refusal: 'conflict' };

export function change(
  state: PersistentState,
  attentions: readonly UnitAttentionFor[] = [],
  preempted: readonly NexusId[] = [],
): Change {
  return { state, attentions, preempted, allowingRemoval: preempted };
}

function invalidCdbField(byte: number, bit?: number): Refused {
  const field = bit === undefined ? { inCdb: true, byte } : { inCdb: true, byte, bit };
  return { refusal: { code: Sense.INVALID_FIELD_IN_CDB, field } };
}

export function invalidParameter(byte: number, bit?: number): Refused {
  const field = bit === undefined ? { inCdb: false, byte } : { inCdb: false, byte, bit };
  return { refusal: { code: Sense.INVALID_FIELD_IN_PARAMETER_LIST, field } };
}

/** Fields of the CDB and the list that several actions find fault with. */
export const Faulty = {
  serviceAction: () => invalidCdbField(1, 4),
  scope: () => invalidCdbField(2, 7),
  type: () => invalidCdbField(2, 3),
  actionKey: () => invalidParameter(BasicList.SERVICE_ACTION_RESERVATION_KEY),
} as const;

/** `attention` for each of `ids` but `except`, on which the command came. */
export function tell(ids: Iterable<NexusId>, except: NexusId, attention: SenseCode): UnitAttentionFor[] {
  return [...ids].filter((id) => id !== except).map((id) => ({ id, attention }));
}
