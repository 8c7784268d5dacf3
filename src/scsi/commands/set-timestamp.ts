/** SET TIMESTAMP (SPC-4 6.46). */
import { blockDeviceOf } from '../block-device-of.ts';
import { u32, u48 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL, reserved } from './usage.ts';

const SERVICE_ACTION = 0x0f;
const LIST_LENGTH = 12;

function setTimestamp(task: Task): void {
  const length = u32(task.cdb, 6);
  if (length === 0) return task.good();
  if (length < LIST_LENGTH) return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  const list = task.parameterList(LIST_LENGTH);
  if (list === undefined) return;
  const device = blockDeviceOf(task);
  device.clock.set(u48(list, 4));
  device.establishForAll(Sense.TIMESTAMP_CHANGED, task.nexus);
  task.good();
}

export const setTimestampCommands: readonly CommandRow[] = [
  {
    name: 'SET TIMESTAMP',
    opcode: 0xa4,
    serviceAction: SERVICE_ACTION,
    cdbLength: 12,
    usage: [0xa4, SERVICE_ACTION, ...reserved(4), ...any(4), 0, CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.46',
    handler: setTimestamp,
  },
];
