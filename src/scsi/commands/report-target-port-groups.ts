/** REPORT TARGET PORT GROUPS (SPC-4 6.37): through which ports the unit is reached best. */
import type { AluaAccess } from '../alua.ts';
import { GROUP_DESCRIPTOR_LENGTH, ParameterDataFormat, PORT_DESCRIPTOR_LENGTH, PREF } from '../alua-spec.ts';
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { concatenate, putU16, putU32, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { TargetPortGroup } from '../target-port-group.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

const FORMAT_SHIFT = 5;
/** FORMAT TYPE of the extended header, in bits 6 to 4 of byte 4. */
const EXTENDED_FORMAT_TYPE = 0x10;

function reportTargetPortGroups(task: Task): void {
  const { cdb } = task;
  const { alua } = blockDeviceOf(task);
  const format = cdb[1] >> FORMAT_SHIFT;
  if (format > ParameterDataFormat.EXTENDED) return task.failCdbField(1, 7);
  const groups = alua.groups.filter((group) => alua.portsOf(group).length > 0);
  const own = alua.groupOf(task.nexus!.targetPort.relativeId);
  const data = concatenate([
    header(format, own.implicitTransitionTime),
    ...groups.map((group) => groupDescriptor(alua, group)),
  ]);
  putU32(data, 0, data.length - 4);
  task.respond(data, u32(cdb, 6));
}

function header(format: number, implicitTransitionTime: number): Uint8Array {
  if (format === ParameterDataFormat.LENGTH_ONLY) return new Uint8Array(4);
  return Uint8Array.of(0, 0, 0, 0, EXTENDED_FORMAT_TYPE, implicitTransitionTime, 0, 0);
}

function groupDescriptor(alua: AluaAccess, group: TargetPortGroup): Uint8Array {
  const ports = alua.portsOf(group);
  const descriptor = new Uint8Array(GROUP_DESCRIPTOR_LENGTH + PORT_DESCRIPTOR_LENGTH * ports.length);
  descriptor[0] = (group.preferred ? PREF : 0) | alua.reportedState(group);
  descriptor[1] = group.supportBits;
  putU16(descriptor, 2, group.id);
  descriptor[5] = group.status;
  descriptor[7] = ports.length;
  for (const [i, port] of ports.entries()) {
    putU16(descriptor, GROUP_DESCRIPTOR_LENGTH + PORT_DESCRIPTOR_LENGTH * i + 2, port);
  }
  return descriptor;
}

export const reportTargetPortGroupsCommands: readonly CommandRow[] = [
  {
    name: 'REPORT TARGET PORT GROUPS',
    opcode: 0xa3,
    serviceAction: 0x0a,
    cdbLength: 12,
    usage: [0xa3, 0xea, 0, 0, 0, 0, ...any(4), 0, CONTROL],
    direction: 'in',
    reservation: 'allowed',
    alua: 'any',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.37',
    supported: (unit) => (unit as BlockDevice).attributes.alua_support !== 0,
    handler: reportTargetPortGroups,
  },
];
