/** SET IDENTIFYING INFORMATION (SPC-4 6.44): GOOD when it is on stable storage. */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { InformationType } from '../identifying-information.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { NO_MEMORY, runSteps } from './steps.ts';
import { any, CONTROL, reserved } from './usage.ts';

const SERVICE_ACTION = 0x06;
const TYPE_SHIFT = 1;
const TYPE = 0xfe;

function setIdentifyingInformation(task: Task): void {
  const { cdb } = task;
  const device = blockDeviceOf(task);
  const { identifyingInformation } = device;
  const type = cdb[10] >> TYPE_SHIFT;
  const length = u32(cdb, 6);
  const maximum = identifyingInformation.maximumLength(type);
  if (maximum === undefined) return task.failCdbField(10, 7);
  if (length > maximum) return task.failCdbField(6);
  const list = task.parameterList(length);
  if (list === undefined) return;
  // Text is null-terminated (SPC-4 4.3.2).
  if (type === InformationType.TEXT && length > 0 && list.at(-1) !== 0) {
    return task.failParameterField(length - 1);
  }
  runSteps(task, device, NO_MEMORY, async () => {
    await identifyingInformation.set(type, list);
    device.establishForAll(Sense.DEVICE_IDENTIFIER_CHANGED, task.nexus);
    return Status.GOOD;
  });
}

export const setIdentifyingInformationCommands: readonly CommandRow[] = [
  {
    name: 'SET IDENTIFYING INFORMATION',
    opcode: 0xa4,
    serviceAction: SERVICE_ACTION,
    cdbLength: 12,
    usage: [0xa4, SERVICE_ACTION, ...reserved(4), ...any(4), TYPE, CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 30,
    standard: 'SPC-4 6.44',
    supported: (unit) => (unit as BlockDevice).store !== undefined,
    handler: setIdentifyingInformation,
  },
];
