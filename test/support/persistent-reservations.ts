/** PERSISTENT RESERVE commands in a test's words: parameter lists on the way out, decoded data on the way in. */
import type { CommandResult, Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { putU16, putU32, u16, u32 } from '../../src/scsi/bytes.ts';
import { Status } from '../../src/scsi/status-spec.ts';

export const TYPES = { WE: 1, EA: 3, WE_RO: 5, EA_RO: 6, WE_AR: 7, EA_AR: 8 } as const;

export const OUT = {
  register: 0,
  reserve: 1,
  release: 2,
  clear: 3,
  preempt: 4,
  preemptAndAbort: 5,
  registerAndIgnore: 6,
  registerAndMove: 7,
  replaceLost: 8,
} as const;
export type Out = keyof typeof OUT;

export interface OutFields {
  /** RESERVATION KEY; small numbers are enough for tests. */
  readonly key?: number;
  /** SERVICE ACTION RESERVATION KEY. */
  readonly actionKey?: number;
  readonly type?: number;
  readonly scope?: number;
  readonly aptpl?: boolean;
  readonly allPorts?: boolean;
  /** SPEC_I_PT with these TransportIDs. */
  readonly specified?: readonly Uint8Array[];
  /** REGISTER AND MOVE. */
  readonly to?: { readonly transportId: Uint8Array; readonly port: number };
  readonly unregister?: boolean;
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function parameterList(fields: OutFields): Uint8Array {
  const head = new Uint8Array(24);
  putU32(head, 4, fields.key ?? 0);
  putU32(head, 12, fields.actionKey ?? 0);
  if (fields.to !== undefined) {
    head[17] = (fields.unregister ? 2 : 0) | (fields.aptpl ? 1 : 0);
    putU16(head, 18, fields.to.port);
    putU32(head, 20, fields.to.transportId.length);
    return concat(head, fields.to.transportId);
  }
  head[20] = (fields.specified ? 8 : 0) | (fields.allPorts ? 4 : 0) | (fields.aptpl ? 1 : 0);
  if (fields.specified === undefined) return head;
  const ids = concat(...fields.specified);
  const length = new Uint8Array(4);
  putU32(length, 0, ids.length);
  return concat(head, length, ids);
}

export function outCdb(action: Out, scopeAndType: number, length: number): number[] {
  return [0x5f, OUT[action], scopeAndType, 0, 0, length >>> 24, length >>> 16, length >>> 8, length, 0].map(
    (byte) => byte & 0xff,
  );
}

export function sendOut(initiator: Initiator, action: Out, fields: OutFields = {}): Promise<CommandResult> {
  const dataOut = parameterList(fields);
  const scopeAndType = ((fields.scope ?? 0) << 4) | (fields.type ?? 0);
  return initiator.send({ cdb: outCdb(action, scopeAndType, dataOut.length), dataOut });
}

export function sendIn(
  initiator: Initiator,
  action: number,
  allocationLength = 4096,
): Promise<CommandResult> {
  const cdb = [0x5e, action, 0, 0, 0, 0, 0, allocationLength >> 8, allocationLength & 0xff, 0];
  return initiator.send({ cdb, dataInLength: allocationLength });
}

/** `good`, `conflict`, or sense key and additional sense code as `5 2600`. */
export function outcome(result: CommandResult): string {
  if (result.status === Status.GOOD) return 'good';
  if (result.status === Status.RESERVATION_CONFLICT) return 'conflict';
  if (result.status !== Status.CHECK_CONDITION) return `status ${result.status}`;
  const { sense } = result;
  return `${sense[2].toString(16)} ${u16(sense, 12).toString(16).padStart(4, '0')}`;
}

/** Keys that are registered, in order; they are below 2^32 in tests. */
export async function readKeys(initiator: Initiator): Promise<{ generation: number; keys: number[] }> {
  const { dataIn } = await sendIn(initiator, 0);
  const keys: number[] = [];
  for (let at = 8; at < dataIn.length; at += 8) keys.push(u32(dataIn, at + 4));
  return { generation: u32(dataIn, 0), keys };
}

/** Undefined when nothing is reserved. */
export async function readReservation(
  initiator: Initiator,
): Promise<{ key: number; type: number } | undefined> {
  const { dataIn } = await sendIn(initiator, 1);
  return u32(dataIn, 4) === 0 ? undefined : { key: u32(dataIn, 12), type: dataIn[21] };
}

export interface FullStatusEntry {
  readonly key: number;
  readonly holder: boolean;
  readonly scopeAndType: number;
  readonly port: number;
  readonly transportId: Uint8Array;
}

export async function readFullStatus(initiator: Initiator): Promise<FullStatusEntry[]> {
  const { dataIn } = await sendIn(initiator, 3, 65535);
  const entries: FullStatusEntry[] = [];
  for (let at = 8; at < dataIn.length; ) {
    const idLength = u32(dataIn, at + 20);
    entries.push({
      key: u32(dataIn, at + 4),
      holder: dataIn[at + 12] === 1,
      scopeAndType: dataIn[at + 13],
      port: u16(dataIn, at + 18),
      transportId: dataIn.slice(at + 24, at + 24 + idLength),
    });
    at += 24 + idLength;
  }
  return entries;
}

/** Takes every pending unit attention: additional sense codes as `2a03`, in the order reported. */
export async function unitAttentions(initiator: Initiator): Promise<string[]> {
  const codes: string[] = [];
  for (;;) {
    const result = await initiator.send({ cdb: [0, 0, 0, 0, 0, 0] });
    if (result.status !== Status.CHECK_CONDITION || result.sense[2] !== 6) return codes;
    codes.push(u16(result.sense, 12).toString(16).padStart(4, '0'));
  }
}
