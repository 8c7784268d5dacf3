/** RESERVE and RELEASE, PERSISTENT RESERVE OUT and IN. */
import fc from 'fast-check';
import { putU32 } from '../../../src/scsi/bytes.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import type { DiskModel } from './disk-model.ts';
import type { Expected } from './expected.ts';
import { cdb, type ModelCommand } from './model-command.ts';
import { Action, type OutParameters, Type } from './reservation-model.ts';

export const reserve: ModelCommand = {
  text: 'RESERVE(6)',
  request: { cdb: cdb(6, 0x16) },
  nature: { access: 'own' },
  perform: (disk, who) => disk.reservations.reserve(who),
};

export const release: ModelCommand = {
  text: 'RELEASE(6)',
  request: { cdb: cdb(6, 0x17) },
  nature: { access: 'own' },
  perform: (disk, who) => disk.reservations.release(who),
};

/** `action` twice for what the other actions build on. */
export const reserveOut = fc
  .record({
    action: fc.constantFrom(...Object.values(Action), Action.REGISTER_AND_IGNORE, Action.RESERVE),
    type: fc.constantFrom(...Object.values(Type), ...Object.values(Type), 0),
    rightKey: fc.nat(7).map((n) => n > 0),
    actionKey: fc.nat(3),
  })
  .map(
    (given): ModelCommand => ({
      text: `PERSISTENT RESERVE OUT ${JSON.stringify(given)}`,
      request: (disk, who) => {
        const list = new Uint8Array(24);
        list[7] = outParameters(given, disk, who).key;
        list[15] = given.actionKey;
        const bytes = cdb(10, 0x5f, given.action, given.type);
        bytes[8] = list.length;
        return { cdb: bytes, dataOut: list };
      },
      nature: { access: 'own' },
      perform: (disk, who) => disk.reservations.out(who, outParameters(given, disk, who)),
    }),
  );

function outParameters(
  { rightKey, ...rest }: Omit<OutParameters, 'key'> & { readonly rightKey: boolean },
  disk: DiskModel,
  who: number,
): OutParameters {
  const own = disk.reservations.keys[who];
  return { ...rest, key: rightKey ? own : own + 1 };
}

export const reserveIn: readonly ModelCommand[] = [
  {
    text: 'PERSISTENT RESERVE IN, READ KEYS',
    request: { cdb: cdb(10, 0x5e, 0, 0, 0, 0, 0, 0, 1), dataInLength: 256 },
    nature: { access: 'own' },
    // In any order.
    look: (data) => Uint8Array.of(...data.subarray(0, 8), ...ascending(keysOf(data))),
    perform: ({ reservations }) =>
      reservations.in(() => {
        const keys = reservations.registered().map((who) => reservations.keys[who]);
        return report(reservations.generation, 8 * keys.length, ascending(keys));
      }),
  },
  {
    text: 'PERSISTENT RESERVE IN, READ RESERVATION',
    request: { cdb: cdb(10, 0x5e, 1, 0, 0, 0, 0, 0, 1), dataInLength: 256 },
    nature: { access: 'own' },
    look: (data) => (data.length > 8 ? Uint8Array.of(...data.subarray(0, 8), data[15], data[21]) : data),
    perform: ({ reservations }) =>
      reservations.in(() => {
        const { reservation, generation, keys } = reservations;
        if (reservation === undefined) return report(generation, 0, []);
        return report(generation, 16, [
          reservation.holder === undefined ? 0 : keys[reservation.holder],
          reservation.type,
        ]);
      }),
  },
];

function ascending(keys: number[]): number[] {
  return keys.sort((a, b) => a - b);
}

function keysOf(data: Uint8Array): number[] {
  const keys: number[] = [];
  for (let at = 8; at < data.length; at += 8) keys.push(data[at + 7]);
  return keys;
}

function report(generation: number, length: number, rest: number[]): Expected {
  const data = new Uint8Array(8);
  putU32(data, 0, generation);
  putU32(data, 4, length);
  return { status: Status.GOOD, data: Uint8Array.of(...data, ...rest) };
}
