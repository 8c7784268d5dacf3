/** Pieces of saveconfig.json on the way back: looked at, compared, ordered. */
import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

export type Json = Record<string, unknown>;

export function arrayIn(object: Readonly<Json>, key: string): Json[] {
  return (object[key] as Json[] | undefined) ?? [];
}

/** Whether they say the same; keys that say nothing do not count. */
export function equal(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(plain(a), plain(b));
}

function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

/** What rtslib makes for a LUN, to find it in configfs. */
export function alias(): string {
  return randomBytes(5).toString('hex');
}

/** Keys in order, as rtslib writes them. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}
