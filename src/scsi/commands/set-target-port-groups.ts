/**
 * SET TARGET PORT GROUPS (SPC-4 6.45): explicit changes of asymmetric access states. It answers when the changes
 * are made: no command that the new states forbid is under way any more, so a fail-over cannot be overtaken by a
 * late write of the old path.
 */
import { AccessState, SET_DESCRIPTOR_LENGTH, SET_HEADER_LENGTH } from '../alua-spec.ts';
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { TargetPortGroup } from '../target-port-group.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

const STATE_MASK = 0x0f;
/** As many descriptors as there can be groups: a longer list names one twice. */
const MAX_LIST_LENGTH = SET_HEADER_LENGTH + SET_DESCRIPTOR_LENGTH * 0x1_0000;

interface Change {
  readonly group: TargetPortGroup;
  readonly state: AccessState;
  /** For the offline state, which is a port's own. */
  readonly port?: number;
}

function setTargetPortGroups(task: Task): void {
  const length = u32(task.cdb, 6);
  // No list is no error, and no change.
  if (length === 0) return task.good();
  if (length > MAX_LIST_LENGTH) return task.failCdbField(6);
  if (length < SET_HEADER_LENGTH || (length - SET_HEADER_LENGTH) % SET_DESCRIPTOR_LENGTH !== 0) {
    return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  }
  const list = task.parameterList(length);
  if (list === undefined) return;
  const changes = parse(task, list);
  if (changes !== undefined) perform(task, changes);
}

/** Every descriptor is checked before any state changes; undefined when the task has ended. */
function parse(task: Task, list: Uint8Array): Change[] | undefined {
  const { alua, targetPorts } = blockDeviceOf(task);
  const changes: Change[] = [];
  for (let at = SET_HEADER_LENGTH; at < list.length; at += SET_DESCRIPTOR_LENGTH) {
    const state = (list[at] & STATE_MASK) as AccessState;
    const id = u16(list, at + 2);
    const isPort = state === AccessState.OFFLINE;
    const group = isPort ? (targetPorts.has(id) ? alua.groupOf(id) : undefined) : alua.group(id);
    if (state === AccessState.TRANSITIONING || !(group?.supported.has(state) ?? true)) {
      task.failParameterField(at, 3);
      return undefined;
    }
    const twice = changes.some(
      (change) => change.group === group && change.port === (isPort ? id : undefined),
    );
    if (group === undefined || !group.explicit || twice || alua.portsOf(group).length === 0) {
      task.failParameterField(at + 2);
      return undefined;
    }
    if (group.transitioning) {
      task.fail(Sense.ASYMMETRIC_ACCESS_STATE_TRANSITION);
      return undefined;
    }
    changes.push(isPort ? { group, state, port: id } : { group, state });
  }
  return changes;
}

function perform(task: Task, changes: readonly Change[]): void {
  const { alua, environment } = blockDeviceOf(task);
  const cause = { unit: alua, nexus: task.nexus! };
  // An aborted task ends at once; the changes it began go on without it.
  let over = false;
  const end = (finish: () => void) => {
    if (over) return;
    over = true;
    task.onAbort = undefined;
    finish();
  };
  task.onAbort = () => end(() => task.finish(Status.TASK_ABORTED));
  const made = changes.map(({ group, state, port }) =>
    port === undefined ? group.transition(state, environment, cause) : group.setOffline(port, true, cause),
  );
  Promise.all(made).then(
    () => end(() => task.good()),
    () => end(() => task.fail(Sense.SET_TARGET_PORT_GROUPS_COMMAND_FAILED)),
  );
}

export const setTargetPortGroupsCommands: readonly CommandRow[] = [
  {
    name: 'SET TARGET PORT GROUPS',
    opcode: 0xa4,
    serviceAction: 0x0a,
    cdbLength: 12,
    usage: [0xa4, 0x0a, 0, 0, 0, 0, ...any(4), 0, CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'unavailable',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 60,
    standard: 'SPC-4 6.45',
    supported: (unit) => {
      const { attributes, alua } = unit as BlockDevice;
      return attributes.alua_support !== 0 && alua.explicit;
    },
    handler: setTargetPortGroups,
  },
];
