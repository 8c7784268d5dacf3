/** Reads an entry of the state store that is a JSON object: saved mode pages, identifying information. */
import { DamagedStateError } from './damaged-state-error.ts';
import type { StateStore } from './state-store.ts';

/** The entry's object, empty when nothing was saved. Throws DamagedStateError when it is something else. */
export function loadRecord(store: StateStore | undefined, entry: string): Record<string, unknown> {
  const text = store?.load(entry);
  if (text === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DamagedStateError(entry, 'it is not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DamagedStateError(entry, 'Expected an object');
  }
  return value as Record<string, unknown>;
}
