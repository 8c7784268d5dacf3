/**
 * Persistent reservations as text in the state store. Everything is saved, whatever APTPL says: a restart of this
 * process is no loss of power to the initiators. Only when the power-on identity differs from the saved one was
 * there a loss of power, and then APTPL decides (SPC-4 5.13.5).
 */
import { DamagedStateError } from '../damaged-state-error.ts';
import { isAllRegistrants, isReservationType } from './persistent-reservation-spec.ts';
import {
  idOf,
  MAXIMUM_REGISTRATIONS,
  NO_KEY,
  NOTHING_RESERVED,
  type PersistentReservation,
  type PersistentState,
  type Registration,
} from './persistent-state.ts';

/** Name in the state store. */
export const STORE_NAME = 'persistent-reservations';

const VERSION = 1;
const KEY = /^[0-9a-f]{16}$/;
const TRANSPORT_ID = /^(?:[0-9a-f]{2}){1,512}$/;

interface SavedState {
  readonly version: typeof VERSION;
  readonly powerOnId: string | null;
  readonly aptpl: boolean;
  readonly generation: number;
  readonly registrations: readonly Registration[];
  /** `holder` is an index into the registrations, null for the all registrants types. */
  readonly reservation: { readonly type: number; readonly holder: number | null } | null;
}

export function format(state: PersistentState, powerOnId: string | undefined): string {
  const { aptpl, generation, reservation } = state;
  const ids = [...state.registrations.keys()];
  const saved: SavedState = {
    version: VERSION,
    powerOnId: powerOnId ?? null,
    aptpl,
    generation,
    registrations: [...state.registrations.values()],
    reservation:
      reservation === undefined
        ? null
        : {
            type: reservation.type,
            holder: reservation.holder === undefined ? null : ids.indexOf(reservation.holder),
          },
  };
  return `${JSON.stringify(saved, undefined, 2)}\n`;
}

/**
 * The state to start with. `powerOnId` names the time since the machine's power-on; undefined when nobody knows,
 * which counts as a loss of power. Throws DamagedStateError when the text was not made by `format`.
 */
export function parse(text: string, powerOnId: string | undefined): PersistentState {
  const saved = check(text);
  const powerLost = powerOnId === undefined || saved.powerOnId !== powerOnId;
  if (powerLost && !saved.aptpl) return NOTHING_RESERVED;
  return {
    // SPC-4 6.15.2: power on sets PRGENERATION to zero, whatever APTPL says.
    generation: powerLost ? 0 : saved.generation,
    aptpl: saved.aptpl,
    registrations: new Map(saved.registrations.map((registration) => [idOf(registration), registration])),
    reservation: savedReservation(saved),
    lost: false,
  };
}

function savedReservation(saved: SavedState): PersistentReservation | undefined {
  const { reservation } = saved;
  if (reservation === null) return undefined;
  const { type, holder } = reservation;
  return {
    type: type as PersistentReservation['type'],
    holder: holder === null ? undefined : idOf(saved.registrations[holder]),
  };
}

function check(text: string): SavedState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DamagedStateError(STORE_NAME, 'it is not JSON', { cause });
  }
  const expect = (condition: boolean, what: string) => {
    if (!condition) throw new DamagedStateError(STORE_NAME, what);
  };
  expect(isRecord(value), 'it is not an object');
  const saved = value as SavedState;
  expect(saved.version === VERSION, `version ${saved.version} is not ${VERSION}`);
  expect(saved.powerOnId === null || typeof saved.powerOnId === 'string', 'powerOnId is not a string');
  expect(typeof saved.aptpl === 'boolean', 'aptpl is not a boolean');
  expect(isIntegerBelow(saved.generation, 0x1_0000_0000), 'generation is not a 32-bit number');
  expect(Array.isArray(saved.registrations), 'registrations is not an array');
  const { registrations, reservation } = saved;
  expect(registrations.length <= MAXIMUM_REGISTRATIONS, 'it has too many registrations');
  expect(registrations.every(isRegistration), 'a registration is malformed');
  expect(new Set(registrations.map(idOf)).size === registrations.length, 'a registration is there twice');
  if (reservation === null) return saved;
  expect(isRecord(reservation) && isReservationType(reservation.type), 'the reservation has no known type');
  const { type, holder } = reservation;
  const holderExists =
    isReservationType(type) && isAllRegistrants(type)
      ? holder === null && registrations.length > 0
      : isIntegerBelow(holder, registrations.length);
  expect(holderExists, 'the reservation has no holder');
  return saved;
}

function isRegistration(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { transportId, relativePort, key } = value;
  return (
    typeof transportId === 'string' &&
    TRANSPORT_ID.test(transportId) &&
    isIntegerBelow(relativePort, 0x1_0000) &&
    typeof key === 'string' &&
    KEY.test(key) &&
    key !== NO_KEY
  );
}

function isIntegerBelow(value: unknown, limit: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < limit;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
