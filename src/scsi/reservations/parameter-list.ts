/** The parameter list of PERSISTENT RESERVE OUT (SPC-4 6.16.3, 6.16.4), decoded and checked. */
import { toHex, u16, u32 } from '../bytes.ts';
import type { TargetPort } from '../port.ts';
import { Sense } from '../sense-spec.ts';
import {
  BasicFlag,
  BasicList,
  KEY_LENGTH,
  MoveFlag,
  MoveList,
  OutAction,
} from './persistent-reservation-spec.ts';
import type { NexusName } from './persistent-state.ts';
import { invalidParameter, type OutRequest, type Refused } from './service-action.ts';
import { parseTransportId, protocolsMatch } from './transport-id.ts';

/** Whether registrations outlive a loss of power: they cannot, with APTPL, or always (LIO's force_pr_aptpl). */
export type Persistence = 'never' | 'asked' | 'always';

/** What the list means depends on this. */
export interface ListContext {
  readonly action: OutAction;
  /** Byte 2 of the CDB. */
  readonly scopeAndType: number;
  readonly nexus: NexusName;
  /** On which the command was received. */
  readonly targetPort: TargetPort;
  /** All that the logical unit is reached through, by relative identifier. */
  readonly targetPorts: ReadonlyMap<number, TargetPort>;
  readonly persistence: Persistence;
}

export type ParsedList = OutRequest | Refused;

const LENGTH_ERROR = { refusal: { code: Sense.PARAMETER_LIST_LENGTH_ERROR } } as const;

const REGISTERING: ReadonlySet<OutAction> = new Set([
  OutAction.REGISTER,
  OutAction.REGISTER_AND_IGNORE_EXISTING_KEY,
]);

export function parseParameterList(list: Uint8Array, context: ListContext): ParsedList {
  if (list.length < BasicList.LENGTH) return LENGTH_ERROR;
  return context.action === OutAction.REGISTER_AND_MOVE
    ? parseMove(list, context)
    : parseBasic(list, context);
}

function parseBasic(list: Uint8Array, context: ListContext): ParsedList {
  const { action, targetPort } = context;
  const flags = list[BasicList.FLAGS];
  const reserved = flags & BasicFlag.RESERVED;
  if (reserved !== 0) return invalidParameter(BasicList.FLAGS, 31 - Math.clz32(reserved));
  let specified: string[] | undefined;
  if ((flags & BasicFlag.SPEC_I_PT) !== 0) {
    if (action !== OutAction.REGISTER) return invalidParameter(BasicList.FLAGS, 3);
    const length = specifiedLength(list);
    if (length !== list.length) return LENGTH_ERROR;
    const parsed = parseTransportIds(list, targetPort);
    if (!Array.isArray(parsed)) return parsed;
    specified = parsed;
  } else if (list.length !== BasicList.LENGTH) {
    return LENGTH_ERROR;
  }
  // ALL_TG_PT and APTPL are ignored by actions that do not register (SPC-4 6.16.3).
  const registers = REGISTERING.has(action);
  const asked = registers && (flags & BasicFlag.APTPL) !== 0;
  if (asked && context.persistence === 'never') return invalidParameter(BasicList.FLAGS, 0);
  const allPorts = registers && (flags & BasicFlag.ALL_TG_PT) !== 0;
  const ports = allPorts ? [...context.targetPorts.keys()] : [context.nexus.relativePort];
  const aptpl = asked || context.persistence === 'always';
  return { ...common(list, context), aptpl, ports, specified, move: undefined };
}

/** Bytes that a list with SPEC_I_PT says it has. */
function specifiedLength(list: Uint8Array): number {
  if (list.length < BasicList.TRANSPORT_IDS) return BasicList.TRANSPORT_IDS;
  return BasicList.TRANSPORT_IDS + u32(list, BasicList.TRANSPORT_ID_LENGTH);
}

function parseTransportIds(list: Uint8Array, targetPort: TargetPort): string[] | ParsedList {
  const ids: string[] = [];
  let at: number = BasicList.TRANSPORT_IDS;
  while (at < list.length) {
    const parsed = parseTransportId(list, at, list.length);
    if (parsed === undefined || !protocolsMatch(parsed, targetPort.protocol)) return invalidParameter(at);
    ids.push(parsed.id);
    at += parsed.length;
  }
  return ids;
}

function parseMove(list: Uint8Array, context: ListContext): ParsedList {
  const flags = list[MoveList.FLAGS];
  const reserved = flags & MoveFlag.RESERVED;
  if (reserved !== 0) return invalidParameter(MoveList.FLAGS, 31 - Math.clz32(reserved));
  if (MoveList.TRANSPORT_ID + u32(list, MoveList.TRANSPORT_ID_LENGTH) !== list.length) return LENGTH_ERROR;
  const asked = (flags & MoveFlag.APTPL) !== 0;
  if (asked && context.persistence === 'never') return invalidParameter(MoveList.FLAGS, 0);
  const relativePort = u16(list, MoveList.RELATIVE_TARGET_PORT);
  const targetPort = context.targetPorts.get(relativePort);
  if (targetPort === undefined) return invalidParameter(MoveList.RELATIVE_TARGET_PORT);
  const parsed = parseTransportId(list, MoveList.TRANSPORT_ID, list.length);
  if (parsed === undefined || !protocolsMatch(parsed, targetPort.protocol))
    return invalidParameter(MoveList.TRANSPORT_ID);
  const move = {
    to: { transportId: parsed.id, relativePort },
    unregister: (flags & MoveFlag.UNREG) !== 0,
  };
  const aptpl = asked || context.persistence === 'always';
  return { ...common(list, context), aptpl, ports: [], specified: undefined, move };
}

function common(list: Uint8Array, context: ListContext) {
  return {
    nexus: context.nexus,
    key: keyAt(list, BasicList.RESERVATION_KEY),
    actionKey: keyAt(list, BasicList.SERVICE_ACTION_RESERVATION_KEY),
    scope: context.scopeAndType >> 4,
    type: context.scopeAndType & 0x0f,
  };
}

function keyAt(list: Uint8Array, at: number): string {
  return toHex(list.subarray(at, at + KEY_LENGTH));
}
