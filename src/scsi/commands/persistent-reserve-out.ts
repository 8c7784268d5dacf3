/** PERSISTENT RESERVE OUT (SPC-4 6.16). What each service action does is in reservations/. */
import { blockDeviceOf } from '../block-device-of.ts';
import { u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { asyncHandler } from '../device-server.ts';
import { parseParameterList } from '../reservations/parameter-list.ts';
import { OutAction } from '../reservations/persistent-reservation-spec.ts';
import { preempt, preemptAndAbort } from '../reservations/preempt.ts';
import { register, registerAndIgnore } from '../reservations/register.ts';
import { registerAndMove } from '../reservations/register-and-move.ts';
import { clear, release, replaceLost, reserve } from '../reservations/reserve.ts';
import type { ServiceAction } from '../reservations/service-action.ts';
import { offersReservations } from '../reservations.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import { any, CONTROL, reserved } from './usage.ts';

/** Bytes; more TransportIDs than the unit takes registrations. */
const MAXIMUM_LIST_LENGTH = 0x1_0000;

const handler = (action: OutAction, perform: ServiceAction) =>
  asyncHandler(async (task) => {
    const device = blockDeviceOf(task);
    const { reservations } = device;
    if (reservations.isReserved) return task.finish(Status.RESERVATION_CONFLICT);
    const length = u32(task.cdb, 5);
    if (length > MAXIMUM_LIST_LENGTH) return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
    const list = task.parameterList(length);
    if (list === undefined) return;
    const request = parseParameterList(list, {
      action,
      scopeAndType: task.cdb[2],
      nexus: reservations.nameOf(task.nexus!),
      targetPort: task.nexus!.targetPort,
      targetPorts: device.targetPorts,
      persistence: reservations.persistence,
    });
    await reservations.change(task, (state) => {
      if (state.lost && action !== OutAction.REPLACE_LOST_RESERVATION)
        return { refusal: { code: Sense.PERSISTENT_RESERVATION_INFORMATION_LOST } };
      return 'refusal' in request ? request : perform(state, request);
    });
  });

const row = (name: string, serviceAction: OutAction, perform: ServiceAction): CommandRow => ({
  name: `PERSISTENT RESERVE OUT, ${name}`,
  opcode: 0x5f,
  serviceAction,
  cdbLength: 10,
  // SCOPE and TYPE are ignored by most actions, whatever they are.
  usage: [0x5f, serviceAction, 0xff, ...reserved(2), ...any(4), CONTROL],
  direction: 'out',
  reservation: 'own',
  alua: 'standby',
  unitAttention: 'report',
  needsReady: false,
  writes: false,
  timeout: 30,
  standard: 'SPC-4 6.16',
  supported: offersReservations,
  handler: handler(serviceAction, perform),
});

export const persistentReserveOutCommands: readonly CommandRow[] = [
  row('REGISTER', OutAction.REGISTER, register),
  row('RESERVE', OutAction.RESERVE, reserve),
  row('RELEASE', OutAction.RELEASE, release),
  row('CLEAR', OutAction.CLEAR, clear),
  row('PREEMPT', OutAction.PREEMPT, preempt),
  row('PREEMPT AND ABORT', OutAction.PREEMPT_AND_ABORT, preemptAndAbort),
  row('REGISTER AND IGNORE EXISTING KEY', OutAction.REGISTER_AND_IGNORE_EXISTING_KEY, registerAndIgnore),
  row('REGISTER AND MOVE', OutAction.REGISTER_AND_MOVE, registerAndMove),
  row('REPLACE LOST RESERVATION', OutAction.REPLACE_LOST_RESERVATION, replaceLost),
];
