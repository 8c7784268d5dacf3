/** A unit with three registered initiators and a fourth, which is not, for tests of PERSISTENT RESERVE OUT. */
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { Core, TestStore } from './core.ts';
import {
  type Out,
  type OutFields,
  outcome,
  sendOut,
  TYPES,
  unitAttentions,
} from './persistent-reservations.ts';

export const ALL_TYPES = Object.keys(TYPES) as (keyof typeof TYPES)[];

/** Four initiators; the first three registered with their own number as key. */
export async function setUp(store = new TestStore()) {
  const core = new Core({ store });
  const [a, b, c, d] = [
    core.initiator,
    ...['2', '3', '4'].map((digit) => core.connect(`naa.500000000000000${digit}`)),
  ];
  for (const [i, initiator] of [a, b, c].entries())
    await sendOut(initiator, 'register', { actionKey: i + 1 });
  return { core, a, b, c, d };
}

/** What became of a PERSISTENT RESERVE OUT, in a word. */
export const out = async (initiator: Initiator, action: Out, fields: OutFields = {}) =>
  outcome(await sendOut(initiator, action, fields));

export async function attentionsOf(initiators: Record<string, Initiator>): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  for (const [name, initiator] of Object.entries(initiators)) all[name] = await unitAttentions(initiator);
  return all;
}

/** The TransportID of the SAS port with this last digit (SPC-4 7.6.4.5). */
export function sasId(digit: number): Uint8Array {
  const id = new Uint8Array(24);
  id[0] = 0x06;
  id.set([0x50, 0, 0, 0, 0, 0, 0, digit], 4);
  return id;
}
