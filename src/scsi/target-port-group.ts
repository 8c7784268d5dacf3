/**
 * A target port group (SPC-4 5.15.2.1): ports of a target device that share one asymmetric access state for the
 * logical units that the group serves. Usually one object serves all units of a target; a unit may have groups
 * of its own, as with LIO.
 */
import type { AluaAccess } from './alua.ts';
import { AccessState, AccessStatus, SUPPORT_BIT } from './alua-spec.ts';
import type { Environment } from './environment.ts';
import type { Nexus } from './nexus.ts';

export interface TargetPortGroupOptions {
  /** TARGET PORT GROUP, 0 to 65535, unique among the groups of a unit. */
  readonly id: number;
  readonly name?: string;
  /** Relative identifiers of its target ports. */
  readonly ports?: Iterable<number>;
  /** Default: active/optimized. */
  readonly state?: AccessState;
  /** PREF: initiators should use this group. */
  readonly preferred?: boolean;
  /** States it may enter; default: all but logical block dependent. */
  readonly supported?: readonly AccessState[];
  /** Whether SET TARGET PORT GROUPS may change it; default true. */
  readonly explicit?: boolean;
  /** Milliseconds spent in the transitioning state; default 0. */
  readonly transitionDelay?: number;
  /** Milliseconds added to each command in the active/non-optimized state; default 0. */
  readonly nonOptimizedDelay?: number;
  /** IMPLICIT TRANSITION TIME, seconds; 0: none is given. */
  readonly implicitTransitionTime?: number;
  /** Keeps state and status code in the stores of its units (LIO's alua_write_metadata); default false. */
  readonly persistent?: boolean;
}

const DEFAULT_SUPPORTED: readonly AccessState[] = [
  AccessState.ACTIVE_OPTIMIZED,
  AccessState.ACTIVE_NON_OPTIMIZED,
  AccessState.STANDBY,
  AccessState.UNAVAILABLE,
  AccessState.OFFLINE,
  AccessState.TRANSITIONING,
];

/** Who changes a state: an initiator through one unit, or the target itself (no nexus). */
export interface TransitionCause {
  readonly unit: AluaAccess;
  readonly nexus: Nexus;
}

export class TargetPortGroup {
  readonly id: number;
  readonly name: string;
  /** Relative target port identifiers. */
  readonly ports: Set<number>;
  /** Its ports in the offline state, which is a port's own (SPC-4 5.15.2.4.7). */
  readonly offlinePorts = new Set<number>();
  readonly units = new Set<AluaAccess>();
  readonly supported: ReadonlySet<AccessState>;
  readonly explicit: boolean;
  readonly persistent: boolean;
  preferred: boolean;
  transitionDelay: number;
  nonOptimizedDelay: number;
  implicitTransitionTime: number;
  state: AccessState;
  status: AccessStatus = AccessStatus.NONE;
  /** Whether a transition is under way. */
  transitioning = false;

  constructor(options: TargetPortGroupOptions) {
    this.id = options.id;
    this.name = options.name ?? `${options.id}`;
    this.ports = new Set(options.ports);
    this.state = options.state ?? AccessState.ACTIVE_OPTIMIZED;
    this.preferred = options.preferred ?? false;
    this.supported = new Set(options.supported ?? DEFAULT_SUPPORTED);
    this.explicit = options.explicit ?? true;
    this.transitionDelay = options.transitionDelay ?? 0;
    this.nonOptimizedDelay = options.nonOptimizedDelay ?? 0;
    this.implicitTransitionTime = options.implicitTransitionTime ?? 0;
    this.persistent = options.persistent ?? false;
  }

  /** The state in which commands through a port of this group find a unit. */
  stateOf(port: number): AccessState {
    return this.offlinePorts.has(port) ? AccessState.OFFLINE : this.state;
  }

  /** Byte 1 of its descriptor. */
  get supportBits(): number {
    let bits = 0;
    for (const state of this.supported) bits |= SUPPORT_BIT[state];
    return bits;
  }

  /**
   * Moves the group to `state`. Resolves when no command that the new state forbids is under way any more, the
   * state is saved where it is to be saved, and every initiator has its unit attention. Rejects when the group
   * does not support the state, when another transition runs, or when saving failed.
   */
  async transition(state: AccessState, environment: Environment, cause?: TransitionCause): Promise<void> {
    if (!this.supported.has(state) || state === AccessState.TRANSITIONING) {
      throw new RangeError(`Target port group ${this.name} cannot be put into state ${state}`);
    }
    if (this.transitioning) throw new Error(`Target port group ${this.name} is changing its state already`);
    if (this.state === state) return;
    this.transitioning = true;
    // From here on nothing starts that the new state forbids.
    this.enter(this.supported.has(AccessState.TRANSITIONING) ? AccessState.TRANSITIONING : state);
    await Promise.all([...this.units].map((unit) => unit.drained(this, state)));
    if (this.transitionDelay > 0) {
      await new Promise<void>((resolve) => environment.after(this.transitionDelay, resolve));
    }
    this.status = cause === undefined ? AccessStatus.CHANGED_IMPLICITLY : AccessStatus.SET_EXPLICITLY;
    this.transitioning = false;
    this.enter(state);
    await this.changed(cause);
  }

  /** Takes one port off line, or back; as `transition`, without the transitioning state. */
  async setOffline(port: number, offline: boolean, cause?: TransitionCause): Promise<void> {
    if (this.offlinePorts.has(port) === offline) return;
    if (offline) this.offlinePorts.add(port);
    else this.offlinePorts.delete(port);
    this.enter(this.state);
    if (offline) {
      await Promise.all([...this.units].map((unit) => unit.drained(this, AccessState.OFFLINE, port)));
    }
    await this.changed(cause);
  }

  private enter(state: AccessState): void {
    this.state = state;
    for (const unit of this.units) unit.groupsChanged();
  }

  private async changed(cause: TransitionCause | undefined): Promise<void> {
    for (const unit of this.units) unit.announce(cause?.unit === unit ? cause.nexus : undefined);
    if (this.persistent) await Promise.all([...this.units].map((unit) => unit.save(this)));
  }
}
