/**
 * RESERVE and RELEASE, (6) and (10), as SPC-2 defines them and SPC-4 5.13.3 limits them beside persistent
 * reservations. Only whole logical units, and no third parties.
 */
import { blockDeviceOf } from '../block-device-of.ts';
import type { CommandRow } from '../command.ts';
import { asyncHandler } from '../device-server.ts';
import type { Nexus } from '../nexus.ts';
import { offersReservations, type Reservations } from '../reservations.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import { CONTROL, reserved } from './usage.ts';

const handler = (act: (reservations: Reservations, nexus: Nexus) => Promise<boolean>) =>
  asyncHandler(async (task) => {
    const { reservations } = blockDeviceOf(task);
    if (reservations.persistent.lost) return task.fail(Sense.PERSISTENT_RESERVATION_INFORMATION_LOST);
    if (await act(reservations, task.nexus!)) task.good();
    else task.finish(Status.RESERVATION_CONFLICT);
  });

const reserve = handler((reservations, nexus) => reservations.reserve(nexus));
const release = handler((reservations, nexus) => reservations.release(nexus));

const common = {
  direction: 'none',
  reservation: 'own',
  alua: 'active',
  unitAttention: 'report',
  needsReady: false,
  writes: false,
  timeout: 10,
  supported: offersReservations,
} as const;

export const reserveReleaseCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'RESERVE(6)',
    opcode: 0x16,
    cdbLength: 6,
    usage: [0x16, ...reserved(4), CONTROL],
    standard: 'SPC-2 7.22',
    handler: reserve,
  },
  {
    ...common,
    name: 'RESERVE(10)',
    opcode: 0x56,
    cdbLength: 10,
    usage: [0x56, ...reserved(8), CONTROL],
    standard: 'SPC-2 7.21',
    handler: reserve,
  },
  {
    ...common,
    name: 'RELEASE(6)',
    opcode: 0x17,
    cdbLength: 6,
    usage: [0x17, ...reserved(4), CONTROL],
    standard: 'SPC-2 7.17',
    handler: release,
  },
  {
    ...common,
    name: 'RELEASE(10)',
    opcode: 0x57,
    cdbLength: 10,
    usage: [0x57, ...reserved(8), CONTROL],
    standard: 'SPC-2 7.16',
    handler: release,
  },
];
