/**
 * Reservations of one logical unit: persistent (SPC-4 5.13) and the older RESERVE and RELEASE (SPC-2 5.5), which
 * exclude each other. What a service action does to the state is in the files of reservations/; here a decision
 * is made durable, comes into force, and is announced.
 */
import type { BlockDevice } from './block-device.ts';
import type { ReservationRule } from './command.ts';
import { DamagedStateError } from './damaged-state-error.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { Nexus } from './nexus.ts';
import { Right, rightsOf, runsThoughLost } from './reservations/access-rights.ts';
import type { Persistence } from './reservations/parameter-list.ts';
import { admitsRegistrants } from './reservations/persistent-reservation-spec.ts';
import {
  idOf,
  isHolder,
  type NexusId,
  type NexusName,
  NOTHING_RESERVED,
  type PersistentState,
} from './reservations/persistent-state.ts';
import { format, parse, STORE_NAME } from './reservations/saved-state.ts';
import type { Change, Decision, Refusal } from './reservations/service-action.ts';
import { canonicalTransportId } from './reservations/transport-id.ts';
import { Sense } from './sense-spec.ts';
import { Status } from './status-spec.ts';
import type { Task } from './task.ts';

export interface ReservationOptions {
  /**
   * Names the time since the machine's last power-on: registrations without APTPL outlive a restart of this
   * process, but not a change of this text. Undefined: every start counts as a power-on.
   */
  readonly powerOnId?: string;
  /**
   * What to do with saved reservations that cannot be read: throw DamagedStateError (the default), or start and
   * answer PERSISTENT RESERVATION INFORMATION LOST until an initiator sends REPLACE LOST RESERVATION.
   */
  readonly damagedReservations?: 'refuse' | 'lost';
}

/** LIO's emulate_pr and pgr_support: without them the unit knows no reservations of either kind. */
export function offersReservations(unit: LogicalUnit): boolean {
  const { attributes } = unit as BlockDevice;
  return attributes.emulate_pr !== 0 && attributes.pgr_support !== 0;
}

const NOT_SAVED: Refusal = { code: Sense.INTERNAL_TARGET_FAILURE };

export class Reservations {
  readonly device: BlockDevice;
  /** Whether any reservation exists: the one thing the path of a READ looks at. */
  held = false;
  private readonly powerOnId: string | undefined;
  private state: PersistentState;
  /** Who holds the logical unit by RESERVE. */
  private reservedBy: Nexus | undefined = undefined;
  /** Rights of those who asked since the state changed last, so that a READ costs one look-up. */
  private rights = new WeakMap<Nexus, number>();
  private lastTurn: Promise<unknown> = Promise.resolve();

  constructor(device: BlockDevice, options: ReservationOptions = {}) {
    this.device = device;
    this.powerOnId = options.powerOnId;
    this.state = this.restore(options.damagedReservations ?? 'refuse');
    this.stateChanged();
  }

  /** The persistent reservations in force. */
  get persistent(): PersistentState {
    return this.state;
  }

  get persistence(): Persistence {
    if (this.device.store === undefined) return 'never';
    return this.device.attributes.force_pr_aptpl !== 0 ? 'always' : 'asked';
  }

  /** Whether the logical unit is held by RESERVE: all PERSISTENT RESERVE commands conflict then (SPC-2 5.5.1). */
  get isReserved(): boolean {
    return this.reservedBy !== undefined;
  }

  /** Whether the command of `task` may run beside the reservation that is held. Allocates nothing. */
  allows(task: Task): boolean {
    const { reservation, passesReservations } = task.row!;
    if (reservation === 'own' || this.state.lost || passesReservations?.(task.cdb)) return true;
    return this.permits(task.nexus!, reservation);
  }

  /** Whether a command with this rule may run for `nexus`: for copies, which come to other units than their own. */
  permits(nexus: Nexus, rule: ReservationRule): boolean {
    if (rule === 'allowed') return true;
    if (this.reservedBy !== undefined) return this.reservedBy === nexus;
    if (rule === 'persistent') return true;
    const needed = rule === 'read' ? Right.READ : Right.WRITE;
    return (this.rightsOf(nexus) & needed) !== 0;
  }

  /** Ends the task and returns false if its command may not run beside the reservation that is held. */
  admit(task: Task): boolean {
    const rule = task.row!.reservation;
    if (this.state.lost && rule !== 'own' && !runsThoughLost(task.cdb)) {
      task.fail(Sense.PERSISTENT_RESERVATION_INFORMATION_LOST);
      return false;
    }
    if (rule === 'allowed' || this.allows(task)) return true;
    task.finish(Status.RESERVATION_CONFLICT);
    return false;
  }

  /** LOGICAL UNIT RESET releases what RESERVE took; persistent reservations stay (SPC-4 5.13.1). */
  reset(): void {
    this.setReservedBy(undefined);
  }

  /** I_T nexus loss, too, concerns RESERVE only. */
  nexusLost(nexus: Nexus): void {
    if (this.reservedBy === nexus) this.setReservedBy(undefined);
  }

  /** RESERVE(6) and (10): returns false for RESERVATION CONFLICT. */
  reserve(nexus: Nexus): Promise<boolean> {
    return this.inTurn(async () => {
      if (this.state.registrations.size > 0) return this.isCompatible(nexus);
      if (this.reservedBy !== undefined && this.reservedBy !== nexus) return false;
      this.setReservedBy(nexus);
      return true;
    });
  }

  /** RELEASE(6) and (10): returns false for RESERVATION CONFLICT. */
  release(nexus: Nexus): Promise<boolean> {
    return this.inTurn(async () => {
      if (this.state.registrations.size > 0) return this.isCompatible(nexus);
      // A RELEASE by anybody else is no error, and changes nothing (SPC-2 5.5.1).
      if (this.reservedBy === nexus) this.setReservedBy(undefined);
      return true;
    });
  }

  /**
   * Runs a PERSISTENT RESERVE OUT: one after the other, each on what the one before left. The task ends with GOOD
   * when the new state is on stable storage and in force, and the commands that it aborts have ended.
   */
  async change(task: Task, decide: (state: PersistentState) => Decision): Promise<void> {
    let preemptedEnded: Promise<void> | undefined;
    const refusal = await this.inTurn(async (): Promise<Refusal | undefined> => {
      if (task.aborted || this.isReserved) return 'conflict';
      const decision = decide(this.state);
      if ('refusal' in decision) return decision.refusal;
      if (decision.state !== this.state && !(await this.save(decision.state))) return NOT_SAVED;
      // Marked as aborted before the next one has its turn: a preempted command must not preempt in return.
      preemptedEnded = this.putInForce(decision, task);
      return undefined;
    });
    await preemptedEnded;
    if (refusal === undefined) task.good();
    else if (refusal === 'conflict') task.finish(Status.RESERVATION_CONFLICT);
    else task.fail(refusal.code, refusal.field === undefined ? {} : { field: refusal.field });
  }

  /** How registrations name an I_T nexus. */
  nameOf(nexus: Nexus): NexusName {
    const { initiatorPort, targetPort } = nexus;
    return {
      transportId: canonicalTransportId(initiatorPort.transportId),
      relativePort: targetPort.relativeId,
    };
  }

  private restore(onDamage: 'refuse' | 'lost'): PersistentState {
    const text = this.device.store?.load(STORE_NAME);
    if (text === undefined) return NOTHING_RESERVED;
    try {
      return parse(text, this.powerOnId);
    } catch (error) {
      if (error instanceof DamagedStateError && onDamage === 'lost')
        return { ...NOTHING_RESERVED, lost: true };
      throw error;
    }
  }

  /** Whether `state` is on stable storage. */
  private async save(state: PersistentState): Promise<boolean> {
    const { store } = this.device;
    if (store === undefined) return true;
    try {
      await store.save(STORE_NAME, format(state, this.powerOnId));
      return true;
    } catch {
      // The new text may have got through all the same; what is in force goes back over it, if that is possible.
      if (!this.state.lost) await store.save(STORE_NAME, format(this.state, this.powerOnId)).catch(() => {});
      return false;
    }
  }

  /** Resolves when the commands of the preempted have ended; undefined when there is nobody to wait for. */
  private putInForce(decision: Change, task: Task): Promise<void> | undefined {
    this.state = decision.state;
    this.stateChanged();
    for (const itl of this.device.itlNexuses) {
      const own = this.idOf(itl.nexus);
      for (const { id, attention } of decision.attentions) if (id === own) itl.establish(attention);
      if (decision.allowingRemoval.includes(own)) itl.preventsRemoval = false;
    }
    return decision.preempted.length === 0 ? undefined : this.abortPreempted(decision.preempted, task);
  }

  /** SPC-4 5.13.11.2.6: their ACA conditions, and their commands but this one. */
  private abortPreempted(preempted: readonly NexusId[], task: Task): Promise<void> {
    const { taskSet, itlNexuses } = this.device;
    const isPreempted = (nexus: Nexus) => preempted.includes(this.idOf(nexus));
    for (const itl of itlNexuses) {
      if (!isPreempted(itl.nexus)) continue;
      taskSet.clearAca(itl.nexus);
    }
    const tasks = taskSet.filter((other) => other !== task && isPreempted(other.nexus!));
    return new Promise((resolve) => taskSet.clear(tasks, task.nexus, resolve));
  }

  /** Compatible reservation handling: RESERVE and RELEASE of those who have access anyway (SPC-4 5.13.3). */
  private isCompatible(nexus: Nexus): boolean {
    const { reservation, registrations } = this.state;
    const id = this.idOf(nexus);
    if (reservation === undefined) return false;
    return isHolder(this.state, id) || (admitsRegistrants(reservation.type) && registrations.has(id));
  }

  private rightsOf(nexus: Nexus): number {
    let rights = this.rights.get(nexus);
    if (rights === undefined) {
      rights = rightsOf(this.state, this.idOf(nexus));
      this.rights.set(nexus, rights);
    }
    return rights;
  }

  private idOf(nexus: Nexus): NexusId {
    return idOf(this.nameOf(nexus));
  }

  private setReservedBy(nexus: Nexus | undefined): void {
    this.reservedBy = nexus;
    this.stateChanged();
  }

  private stateChanged(): void {
    this.rights = new WeakMap();
    this.held = this.reservedBy !== undefined || this.state.reservation !== undefined || this.state.lost;
  }

  /** Runs `step` when all before it are done. */
  private inTurn<T>(step: () => Promise<T>): Promise<T> {
    const turn = this.lastTurn.then(step);
    this.lastTurn = turn.catch(() => {});
    return turn;
  }
}
