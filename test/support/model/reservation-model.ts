/** Reservations of the disk model: SPC-4 5.12 and SPC-2 5.5, for registrations without APTPL and other ports. */
import { Sense, type SenseCode } from '../../../src/scsi/sense-spec.ts';
import { type Access, CONFLICT, type Expected, everybody, fails, GOOD, others } from './expected.ts';

/** TYPE of a persistent reservation (SPC-4 table 181). */
export const Type = {
  WRITE_EXCLUSIVE: 1,
  EXCLUSIVE_ACCESS: 3,
  WRITE_EXCLUSIVE_REGISTRANTS: 5,
  EXCLUSIVE_ACCESS_REGISTRANTS: 6,
  WRITE_EXCLUSIVE_ALL: 7,
  EXCLUSIVE_ACCESS_ALL: 8,
} as const;
const EXCLUDES_READERS: readonly number[] = [3, 6, 8];
const ADMITS_REGISTRANTS: readonly number[] = [5, 6, 7, 8];
const ALL_REGISTRANTS: readonly number[] = [7, 8];

export const Action = {
  REGISTER: 0,
  RESERVE: 1,
  RELEASE: 2,
  CLEAR: 3,
  PREEMPT: 4,
  PREEMPT_AND_ABORT: 5,
  REGISTER_AND_IGNORE: 6,
} as const;

export interface OutParameters {
  readonly action: number;
  readonly type: number;
  readonly key: number;
  readonly actionKey: number;
}

type Tell = (whom: Iterable<number>, attention: SenseCode) => void;

export class ReservationModel {
  /** Key of each nexus; 0: not registered. */
  keys = everybody().map(() => 0);
  generation = 0;
  /** `holder` is undefined when all registrants hold it. */
  reservation: { readonly type: number; readonly holder: number | undefined } | undefined;
  /** By RESERVE. */
  private reservedBy: number | undefined;
  /** How initiators hear of what others did. */
  private readonly tell: Tell;

  constructor(tell: Tell) {
    this.tell = tell;
  }

  excludes(who: number, access: Access): boolean {
    if (access === 'free') return false;
    if (this.reservedBy !== undefined) return this.reservedBy !== who;
    if (this.reservation === undefined || access === 'legacy') return false;
    const { type } = this.reservation;
    if (this.isHolder(who) || (this.isRegistered(who) && ADMITS_REGISTRANTS.includes(type))) return false;
    return access === 'write' || EXCLUDES_READERS.includes(type);
  }

  reserve(who: number): Expected {
    if (this.registered().length > 0) return this.besidePersistent(who);
    if (this.reservedBy !== undefined && this.reservedBy !== who) return CONFLICT;
    this.reservedBy = who;
    return GOOD;
  }

  release(who: number): Expected {
    if (this.registered().length > 0) return this.besidePersistent(who);
    this.nexusLost(who);
    return GOOD;
  }

  reset(): void {
    this.reservedBy = undefined;
  }

  nexusLost(who: number): void {
    if (this.reservedBy === who) this.reservedBy = undefined;
  }

  /** PERSISTENT RESERVE IN is refused only by RESERVE. */
  in(report: () => Expected): Expected {
    return this.reservedBy === undefined ? report() : CONFLICT;
  }

  out(who: number, { action, type, key, actionKey }: OutParameters): Expected {
    if (this.reservedBy !== undefined) return CONFLICT;
    const registers = action === Action.REGISTER || action === Action.REGISTER_AND_IGNORE;
    if (action !== Action.REGISTER_AND_IGNORE && this.keys[who] !== key) return CONFLICT;
    if (!registers && !this.isRegistered(who)) return CONFLICT;
    if (registers) return this.register(who, actionKey);
    switch (action) {
      case Action.RESERVE:
        return this.persistentReserve(who, type);
      case Action.RELEASE:
        return this.persistentRelease(who, type);
      case Action.CLEAR:
        this.tellRegistered(others(who), Sense.RESERVATIONS_PREEMPTED);
        this.keys = this.keys.map(() => 0);
        return this.changed();
      default:
        return this.preempt(who, type, actionKey);
    }
  }

  registered(): number[] {
    return everybody().filter((who) => this.isRegistered(who));
  }

  isHolder(who: number): boolean {
    if (this.reservation === undefined) return false;
    return this.reservation.holder === undefined ? this.isRegistered(who) : this.reservation.holder === who;
  }

  private isRegistered(who: number): boolean {
    return this.keys[who] !== 0;
  }

  private register(who: number, actionKey: number): Expected {
    if (!this.isRegistered(who) && actionKey === 0) return GOOD;
    const held = this.reservation;
    this.keys[who] = actionKey;
    this.changed();
    if (held !== undefined && this.reservation === undefined && ADMITS_REGISTRANTS.includes(held.type)) {
      this.tellRegistered(others(who), Sense.RESERVATIONS_RELEASED);
    }
    return GOOD;
  }

  private persistentReserve(who: number, type: number): Expected {
    if (!Object.values<number>(Type).includes(type)) return fails(Sense.INVALID_FIELD_IN_CDB);
    if (this.reservation === undefined) {
      this.take(who, type);
      return GOOD;
    }
    return this.isHolder(who) && this.reservation.type === type ? GOOD : CONFLICT;
  }

  private persistentRelease(who: number, type: number): Expected {
    if (!this.isHolder(who)) return GOOD;
    if (type !== this.reservation!.type) return fails(Sense.INVALID_RELEASE_OF_PERSISTENT_RESERVATION);
    this.reservation = undefined;
    if (ADMITS_REGISTRANTS.includes(type)) this.tellRegistered(others(who), Sense.RESERVATIONS_RELEASED);
    return GOOD;
  }

  private preempt(who: number, type: number, actionKey: number): Expected {
    const held = this.reservation;
    const all = held !== undefined && held.holder === undefined;
    if (held !== undefined && !all && actionKey === 0) return fails(Sense.INVALID_FIELD_IN_PARAMETER_LIST);
    const takes = all ? actionKey === 0 : held !== undefined && this.keys[held.holder!] === actionKey;
    if (takes && !Object.values<number>(Type).includes(type)) return fails(Sense.INVALID_FIELD_IN_CDB);
    const named = this.registered().filter((other) => (takes && all) || this.keys[other] === actionKey);
    if (!takes && named.length === 0) return CONFLICT;
    const leaving = named.filter((other) => other !== who || !takes);
    this.tell(
      leaving.filter((other) => other !== who),
      Sense.REGISTRATIONS_PREEMPTED,
    );
    for (const other of leaving) this.keys[other] = 0;
    if (takes) {
      this.take(who, type);
      if (type !== held!.type) this.tellRegistered(others(who), Sense.RESERVATIONS_RELEASED);
    }
    return this.changed();
  }

  private take(who: number, type: number): void {
    this.reservation = { type, holder: ALL_REGISTRANTS.includes(type) ? undefined : who };
  }

  /** A reservation goes with its last holder. */
  private changed(): Expected {
    this.generation++;
    if (!everybody().some((who) => this.isHolder(who) && this.isRegistered(who)))
      this.reservation = undefined;
    return GOOD;
  }

  private tellRegistered(whom: number[], attention: SenseCode): void {
    this.tell(
      whom.filter((who) => this.isRegistered(who)),
      attention,
    );
  }

  /** SPC-4 5.12.3: RESERVE and RELEASE of those who have access anyway do nothing, of others conflict. */
  private besidePersistent(who: number): Expected {
    const { reservation } = this;
    const registrants = reservation !== undefined && ADMITS_REGISTRANTS.includes(reservation.type);
    return this.isHolder(who) || (registrants && this.isRegistered(who)) ? GOOD : CONFLICT;
  }
}
