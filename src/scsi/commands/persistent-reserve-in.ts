/** PERSISTENT RESERVE IN (SPC-4 6.15). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { fromHex, putU16, putU32, u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import {
  Capability,
  FullStatus,
  IN_HEADER_LENGTH,
  InAction,
  KEY_LENGTH,
  LU_SCOPE,
} from '../reservations/persistent-reservation-spec.ts';
import { isHolder, NO_KEY, type PersistentState } from '../reservations/persistent-state.ts';
import { offersReservations } from '../reservations.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL, reserved } from './usage.ts';

/** Key, obsolete bytes, SCOPE and TYPE (SPC-4 6.15.3). */
const RESERVATION_LENGTH = 16;
const RESERVATION_SCOPE_AND_TYPE = 13;

type ParameterData = (device: BlockDevice, state: PersistentState) => Uint8Array;

/** PRGENERATION and ADDITIONAL LENGTH, which counts what follows even where the answer is truncated. */
function withHeader(state: PersistentState, length: number): Uint8Array {
  const data = new Uint8Array(IN_HEADER_LENGTH + length);
  putU32(data, 0, state.generation);
  putU32(data, 4, length);
  return data;
}

function readKeys(_device: BlockDevice, state: PersistentState): Uint8Array {
  const data = withHeader(state, state.registrations.size * KEY_LENGTH);
  let at = IN_HEADER_LENGTH;
  for (const { key } of state.registrations.values()) {
    data.set(fromHex(key), at);
    at += KEY_LENGTH;
  }
  return data;
}

function readReservation(_device: BlockDevice, state: PersistentState): Uint8Array {
  const { reservation, registrations } = state;
  if (reservation === undefined) return withHeader(state, 0);
  const data = withHeader(state, RESERVATION_LENGTH);
  const holder = reservation.holder === undefined ? undefined : registrations.get(reservation.holder);
  data.set(fromHex(holder?.key ?? NO_KEY), IN_HEADER_LENGTH);
  data[IN_HEADER_LENGTH + RESERVATION_SCOPE_AND_TYPE] = (LU_SCOPE << 4) | reservation.type;
  return data;
}

function reportCapabilities(device: BlockDevice, state: PersistentState): Uint8Array {
  const data = new Uint8Array(Capability.LENGTH);
  const { RLR_C, CRH, SIP_C, ATP_C, PTPL_C, TMV, ALLOW_COMMANDS, PTPL_A, TYPE_MASK } = Capability;
  putU16(data, 0, Capability.LENGTH);
  data[2] = RLR_C | CRH | SIP_C | ATP_C | (device.reservations.persistence === 'never' ? 0 : PTPL_C);
  data[3] = TMV | ALLOW_COMMANDS | (state.aptpl ? PTPL_A : 0);
  putU16(data, 4, TYPE_MASK);
  return data;
}

/** One descriptor for each I_T nexus, so ALL_TG_PT stays 0 (SPC-4 6.15.5). */
function readFullStatus(_device: BlockDevice, state: PersistentState): Uint8Array {
  const { registrations, reservation } = state;
  let length = 0;
  for (const { transportId } of registrations.values()) length += FullStatus.LENGTH + transportId.length / 2;
  const data = withHeader(state, length);
  let at = IN_HEADER_LENGTH;
  for (const [nexus, { key, transportId, relativePort }] of registrations) {
    const id = fromHex(transportId);
    data.set(fromHex(key), at);
    if (reservation !== undefined && isHolder(state, nexus)) {
      data[at + FullStatus.R_HOLDER_BYTE] = FullStatus.R_HOLDER;
      data[at + FullStatus.SCOPE_AND_TYPE] = (LU_SCOPE << 4) | reservation.type;
    }
    putU16(data, at + FullStatus.RELATIVE_TARGET_PORT, relativePort);
    putU32(data, at + FullStatus.TRANSPORT_ID_LENGTH, id.length);
    data.set(id, at + FullStatus.TRANSPORT_ID);
    at += FullStatus.LENGTH + id.length;
  }
  return data;
}

const handler = (parameterData: ParameterData) => (task: Task) => {
  const device = blockDeviceOf(task);
  const { reservations } = device;
  if (reservations.isReserved) return task.finish(Status.RESERVATION_CONFLICT);
  if (reservations.persistent.lost) return task.fail(Sense.PERSISTENT_RESERVATION_INFORMATION_LOST);
  task.respond(parameterData(device, reservations.persistent), u16(task.cdb, 7));
};

const row = (
  name: string,
  serviceAction: number,
  section: string,
  parameterData: ParameterData,
): CommandRow => ({
  name: `PERSISTENT RESERVE IN, ${name}`,
  opcode: 0x5e,
  serviceAction,
  cdbLength: 10,
  usage: [0x5e, serviceAction, ...reserved(5), ...any(2), CONTROL],
  direction: 'in',
  reservation: 'own',
  alua: 'standby',
  unitAttention: 'report',
  needsReady: false,
  writes: false,
  timeout: 10,
  standard: `SPC-4 ${section}`,
  supported: offersReservations,
  handler: handler(parameterData),
});

export const persistentReserveInCommands: readonly CommandRow[] = [
  row('READ KEYS', InAction.READ_KEYS, '6.15.2', readKeys),
  row('READ RESERVATION', InAction.READ_RESERVATION, '6.15.3', readReservation),
  row('REPORT CAPABILITIES', InAction.REPORT_CAPABILITIES, '6.15.4', reportCapabilities),
  row('READ FULL STATUS', InAction.READ_FULL_STATUS, '6.15.5', readFullStatus),
];
