/**
 * A logical unit (SAM-5 4.6.21): what every device type has in common. Device types add their medium and their
 * commands; see block-device.ts.
 */
import type { CommandSet } from './command.ts';
import { ControlMode } from './control-mode.ts';
import type { Environment } from './environment.ts';
import type { Identity } from './identity.ts';
import type { ItlNexus, Nexus } from './nexus.ts';
import type { TargetPort } from './port.ts';
import type { SenseCode } from './sense-spec.ts';
import type { Task } from './task.ts';
import { TaskSet } from './task-set.ts';

interface Waiting {
  readonly who: (itl: ItlNexus) => boolean;
  resolve(): void;
}

export abstract class LogicalUnit {
  abstract readonly commands: CommandSet;
  /** PERIPHERAL DEVICE TYPE (SPC-4 table 144). */
  abstract readonly deviceType: number;
  readonly environment: Environment;
  readonly identity: Identity;
  readonly taskSet: TaskSet = new TaskSet(this);
  /** The Control mode page in force; units without that page keep its zeroes. */
  readonly control = new ControlMode();
  /** Everybody who has it mapped. */
  readonly itlNexuses = new Set<ItlNexus>();
  /** Ports that it is reached through, by relative identifier: those announced, and those ever connected to. */
  readonly targetPorts = new Map<number, TargetPort>();
  private readonly waitingForNobody = new Set<Waiting>();

  constructor(environment: Environment, identity: Identity) {
    this.environment = environment;
    this.identity = identity;
  }

  /** Whether CHECK CONDITION comes with descriptor format sense data. */
  get descriptorSense(): boolean {
    return this.control.dSense;
  }

  /** Whether the data of READ and WRITE may be in no memory of ours: see `BackstoreCapabilities`. */
  get takesKernelBuffers(): boolean {
    return false;
  }

  join(itl: ItlNexus): void {
    this.itlNexuses.add(itl);
    this.announce(itl.nexus.targetPort);
  }

  /** A port that it can be reached through, before anybody has come to it. */
  announce(port: TargetPort): void {
    this.targetPorts.set(port.relativeId, port);
  }

  leave(itl: ItlNexus): void {
    this.itlNexuses.delete(itl);
    for (const waiting of this.waitingForNobody) {
      if (this.isMappedBy(waiting.who)) continue;
      this.waitingForNobody.delete(waiting);
      waiting.resolve();
    }
  }

  /** Resolves when nobody that `who` is true of has it mapped any more, and so no task of theirs runs. */
  nobody(who: (itl: ItlNexus) => boolean): Promise<void> {
    if (!this.isMappedBy(who)) return Promise.resolve();
    return new Promise((resolve) => this.waitingForNobody.add({ who, resolve }));
  }

  private isMappedBy(who: (itl: ItlNexus) => boolean): boolean {
    for (const itl of this.itlNexuses) if (who(itl)) return true;
    return false;
  }

  /** Establishes a unit attention for every initiator but `except`. */
  establishForAll(attention: SenseCode, except?: Nexus): void {
    for (const itl of this.itlNexuses) if (itl.nexus !== except) itl.establish(attention);
  }

  /** TARGET PORT GROUP that the port belongs to; undefined for units without asymmetric access. */
  targetPortGroup(_port: TargetPort): number | undefined {
    return undefined;
  }

  /** Whether a reservation of another I_T nexus forbids the task's command; its row is known. */
  conflictsWithReservation(_task: Task): boolean {
    return false;
  }

  /** I_T nexus loss (SAM-5 6.3.4), after the tasks of the nexus are gone: its non-persistent state here ends. */
  nexusLost(itl: ItlNexus): void {
    this.taskSet.clearAca(itl.nexus);
    itl.preventsRemoval = false;
  }

  /**
   * The device type's part of the checks before a handler runs: reservations, access state, readiness, write
   * protection. Returns false when it has ended the task.
   */
  abstract admit(task: Task): boolean;

  /** LOGICAL UNIT RESET (SAM-5 6.3.3), after all tasks are gone. */
  abstract reset(cause: SenseCode, by: Nexus | undefined): void;
}
