/** REPORT IDENTIFYING INFORMATION (SPC-4 6.31). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { concatenate, putU16, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { any, CONTROL, reserved } from './usage.ts';

const SERVICE_ACTION = 0x05;
const TYPE_SHIFT = 1;
const TYPE = 0xfe;
/** IDENTIFYING INFORMATION TYPE that asks which types there are. */
const SUPPORTED_TYPES = 0x7f;

function reportIdentifyingInformation(task: Task): void {
  const { cdb } = task;
  const { identifyingInformation } = blockDeviceOf(task);
  const type = cdb[10] >> TYPE_SHIFT;
  const allocationLength = u32(cdb, 6);
  if (type === SUPPORTED_TYPES) return task.respond(supportedTypes(task), allocationLength);
  if (identifyingInformation.maximumLength(type) === undefined) return task.failCdbField(10, 7);
  const information = identifyingInformation.get(type);
  const data = concatenate([new Uint8Array(4), information]);
  putU16(data, 2, information.length);
  task.respond(data, allocationLength);
}

function supportedTypes(task: Task): Uint8Array {
  const descriptors = blockDeviceOf(task).identifyingInformation.types.map(([type, maximumLength]) => {
    const descriptor = Uint8Array.of(type << TYPE_SHIFT, 0, 0, 0);
    putU16(descriptor, 2, maximumLength);
    return descriptor;
  });
  const data = concatenate([new Uint8Array(4), ...descriptors]);
  putU16(data, 2, data.length - 4);
  return data;
}

export const reportIdentifyingInformationCommands: readonly CommandRow[] = [
  {
    name: 'REPORT IDENTIFYING INFORMATION',
    opcode: 0xa3,
    serviceAction: SERVICE_ACTION,
    cdbLength: 12,
    usage: [0xa3, SERVICE_ACTION, ...reserved(4), ...any(4), TYPE, CONTROL],
    direction: 'in',
    reservation: 'allowed',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.31',
    supported: (unit) => (unit as BlockDevice).store !== undefined,
    handler: reportIdentifyingInformation,
  },
];
