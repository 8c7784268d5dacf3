/**
 * Asymmetric logical unit access of one logical unit (SPC-4 5.15): its target port groups, and which commands
 * their states let through. Ports that no configured group names are in a default group of the unit's own.
 */
import { AccessState, AccessStatus } from './alua-spec.ts';
import type { BlockDevice } from './block-device.ts';
import type { AluaRule, CommandRow } from './command.ts';
import { DamagedStateError } from './damaged-state-error.ts';
import { begin } from './device-server.ts';
import type { Nexus } from './nexus.ts';
import { Sense, type SenseCode } from './sense-spec.ts';
import { Status } from './status-spec.ts';
import { TargetPortGroup } from './target-port-group.ts';
import type { Task } from './task.ts';

/** LIO's `default_tg_pt_gp`. */
const DEFAULT_GROUP = 0;

/** The rules of command rows that a state admits (SPC-4 5.15.2.4.2 to 5.15.2.4.8), and its answer to the others. */
const STATES: Readonly<Record<AccessState, { admits: readonly AluaRule[]; sense: SenseCode }>> = {
  [AccessState.ACTIVE_OPTIMIZED]: admitsAll(),
  [AccessState.ACTIVE_NON_OPTIMIZED]: admitsAll(),
  [AccessState.LOGICAL_BLOCK_DEPENDENT]: admitsAll(),
  [AccessState.STANDBY]: {
    admits: ['any', 'unavailable', 'standby'],
    sense: Sense.TARGET_PORT_IN_STANDBY_STATE,
  },
  [AccessState.UNAVAILABLE]: {
    admits: ['any', 'unavailable'],
    sense: Sense.TARGET_PORT_IN_UNAVAILABLE_STATE,
  },
  [AccessState.OFFLINE]: { admits: ['any'], sense: Sense.OFFLINE },
  [AccessState.TRANSITIONING]: { admits: ['any'], sense: Sense.ASYMMETRIC_ACCESS_STATE_TRANSITION },
};

function admitsAll(): { admits: readonly AluaRule[]; sense: SenseCode } {
  return { admits: ['any', 'unavailable', 'standby', 'active'], sense: Sense.NO_ADDITIONAL_SENSE };
}

export class AluaAccess {
  readonly device: BlockDevice;
  /** Whether any target port group is not active/optimized: the one thing the path of a READ looks at. */
  restricted = false;
  private readonly defaultGroup = new TargetPortGroup({ id: DEFAULT_GROUP, name: 'default_tg_pt_gp' });
  private readonly configured = new Map<number, TargetPortGroup>();
  /** Tasks that have waited their non-optimized delay and come here for the second time. */
  private readonly delayed = new WeakSet<Task>();

  constructor(device: BlockDevice) {
    this.device = device;
    this.defaultGroup.units.add(this);
  }

  /** Adds a group; a persistent one takes up the state that was saved for this unit. */
  addGroup(group: TargetPortGroup): void {
    if (group.id === DEFAULT_GROUP || this.configured.has(group.id)) {
      throw new RangeError(`target port group ${group.id} exists already`);
    }
    this.configured.set(group.id, group);
    group.units.add(this);
    if (group.persistent) this.restore(group);
    this.groupsChanged();
  }

  removeGroup(group: TargetPortGroup): void {
    this.configured.delete(group.id);
    group.units.delete(this);
    this.groupsChanged();
  }

  /** In the order of their identifiers. */
  get groups(): TargetPortGroup[] {
    return [this.defaultGroup, ...[...this.configured.values()].sort((a, b) => a.id - b.id)];
  }

  group(id: number): TargetPortGroup | undefined {
    return id === DEFAULT_GROUP ? this.defaultGroup : this.configured.get(id);
  }

  groupOf(relativeId: number): TargetPortGroup {
    for (const group of this.configured.values()) if (group.ports.has(relativeId)) return group;
    return this.defaultGroup;
  }

  /** The ports of a group through which this unit can be reached, in order. */
  portsOf(group: TargetPortGroup): number[] {
    const ports = [...this.device.targetPorts.keys()].filter((port) => this.groupOf(port) === group);
    return ports.sort((a, b) => a - b);
  }

  /** The state that describes a group: off line only when all of its ports are. */
  reportedState(group: TargetPortGroup): AccessState {
    const allOffline = this.portsOf(group).every((port) => group.offlinePorts.has(port));
    return allOffline ? AccessState.OFFLINE : group.state;
  }

  /** Whether SET TARGET PORT GROUPS could change anything. */
  get explicit(): boolean {
    return this.groups.some((group) => group.explicit && this.portsOf(group).length > 0);
  }

  /** Called by a group whose state, delay or ports have changed. */
  groupsChanged(): void {
    this.restricted = this.groups.some(
      ({ state, offlinePorts }) => state !== AccessState.ACTIVE_OPTIMIZED || offlinePorts.size > 0,
    );
  }

  /** Whether the state of the task's target port group lets its command run; if not, it has ended or will later. */
  admit(task: Task): boolean {
    const { relativeId } = task.nexus!.targetPort;
    const group = this.groupOf(relativeId);
    const state = group.stateOf(relativeId);
    const { admits, sense } = STATES[state];
    if (!admits.includes(task.row!.alua)) {
      task.fail(sense);
      return false;
    }
    if (state !== AccessState.ACTIVE_NON_OPTIMIZED || group.nonOptimizedDelay === 0) return true;
    if (task.row!.alua !== 'active' || this.delayed.delete(task)) return true;
    this.delay(task, group.nonOptimizedDelay);
    return false;
  }

  /**
   * Resolves when no command is under way through the ports of `group` (or only `port`) that `state` forbids. A
   * command that waits for others is no concern: it is checked again before it starts.
   */
  drained(group: TargetPortGroup, state: AccessState, port?: number): Promise<void> {
    const { taskSet } = this.device;
    const tasks = taskSet.filter((task) => {
      const { relativeId } = task.nexus!.targetPort;
      const through = port === undefined ? this.groupOf(relativeId) === group : relativeId === port;
      return through && task.started && !task.held && forbids(state, task.row);
    });
    return new Promise((resolve) => taskSet.whenEnded(tasks, resolve));
  }

  /** Tells all initiators but the one that asked for the change (SPC-4 6.45). */
  announce(except: Nexus | undefined): void {
    this.device.establishForAll(Sense.ASYMMETRIC_ACCESS_STATE_CHANGED, except);
  }

  /** Resolves when the state of `group` is on stable storage. */
  async save({ id, state, status }: TargetPortGroup): Promise<void> {
    await this.device.store?.save(storeName(id), JSON.stringify({ state, status }));
  }

  private restore(group: TargetPortGroup): void {
    const entry = storeName(group.id);
    const text = this.device.store?.load(entry);
    if (text === undefined) return;
    const { state, status } = parseSaved(entry, text);
    // The configuration may have taken the state away meanwhile.
    if (!group.supported.has(state)) return;
    group.state = state;
    group.status = status;
  }

  private delay(task: Task, milliseconds: number): void {
    const timer = this.device.environment.after(milliseconds, () => {
      task.onAbort = undefined;
      this.delayed.add(task);
      begin(task);
      this.delayed.delete(task);
    });
    task.onAbort = () => {
      timer.cancel();
      task.finish(Status.TASK_ABORTED);
    };
  }
}

/** SET TARGET PORT GROUPS itself may be under way through any group: it is what waits here. */
function forbids(state: AccessState, row: CommandRow | undefined): boolean {
  return row !== undefined && row.alua !== 'unavailable' && !STATES[state].admits.includes(row.alua);
}

function storeName(group: number): string {
  return `alua-${group}`;
}

function parseSaved(entry: string, text: string): { state: AccessState; status: AccessStatus } {
  let saved: { state?: unknown; status?: unknown } | null;
  try {
    saved = JSON.parse(text);
  } catch (cause) {
    throw new DamagedStateError(entry, 'it is no JSON', { cause });
  }
  const state = Object.values(AccessState).find((value) => value === saved?.state);
  const status = Object.values(AccessStatus).find((value) => value === saved?.status);
  if (state === undefined || status === undefined) {
    throw new DamagedStateError(entry, 'Expected the numbers of a state and a status code');
  }
  return { state, status };
}
