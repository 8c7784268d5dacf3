/**
 * What a disk with several initiators must do, as simply as it can be said: one command at a time, no performance,
 * no memory management. The random tests of test/scsi/model.test.ts compare the core with it.
 */
import { Sense, type SenseCode } from '../../../src/scsi/sense-spec.ts';
import { type Access, CONFLICT, type Expected, everybody, fails, GOOD, others } from './expected.ts';
import { ReservationModel } from './reservation-model.ts';

export const BLOCK = 512;
export const BLOCKS = 32;

/** Strongest first; SAM-5 5.14. */
const RESETS: readonly SenseCode[] = [
  Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED,
  Sense.I_T_NEXUS_LOSS_OCCURRED,
];

/** The changeable fields of the Control mode page (SPC-4 7.5.8). */
export interface Control {
  readonly dSense: boolean;
  readonly qerr: number;
  readonly uaIntlck: number;
  readonly swp: boolean;
  readonly tas: boolean;
}
const DEFAULT_CONTROL: Control = { dSense: false, qerr: 0, uaIntlck: 0, swp: false, tas: true };

export interface Nature {
  readonly access: Access;
  /** Changes the medium, so write protection forbids it. */
  readonly writes?: true;
  /** INQUIRY, REPORT LUNS, REQUEST SENSE: no unit attention stops them. */
  readonly quiet?: true;
}

export class DiskModel {
  readonly bytes = new Uint8Array(BLOCKS * BLOCK);
  readonly reservations = new ReservationModel((whom, attention) => this.tell(whom, attention));
  control = DEFAULT_CONTROL;
  writeCache = true;
  private readonly attentions: SenseCode[][] = everybody().map(() => []);

  /** Everything that comes before the command itself, in the order of SAM-5 5.3.3. */
  run(who: number, { access, writes, quiet }: Nature, perform: () => Expected): Expected {
    const [attention] = this.attentions[who];
    const conflict = access !== 'own' && this.reservations.excludes(who, access);
    let expected: Expected;
    if (!quiet && attention !== undefined && (RESETS.includes(attention) || !conflict)) {
      if (this.control.uaIntlck === 0) this.attentions[who].shift();
      expected = fails(attention);
    } else if (conflict) expected = CONFLICT;
    else if (writes && this.control.swp) expected = fails(Sense.LOGICAL_UNIT_SOFTWARE_WRITE_PROTECTED);
    else expected = perform();
    if (expected === CONFLICT && this.control.uaIntlck === 3) {
      this.tell([who], Sense.PREVIOUS_RESERVATION_CONFLICT_STATUS);
    }
    return expected;
  }

  /** REQUEST SENSE: the only way past an interlocked unit attention. */
  takeAttention(who: number): SenseCode {
    return this.attentions[who].shift() ?? Sense.NO_ADDITIONAL_SENSE;
  }

  tell(whom: Iterable<number>, attention: SenseCode): void {
    for (const who of whom) {
      const queue = this.attentions[who];
      const strength = RESETS.indexOf(attention);
      if (queue.includes(attention)) continue;
      if (strength < 0) queue.push(attention);
      else if (!queue.some((other) => RESETS.includes(other) && RESETS.indexOf(other) < strength)) {
        this.attentions[who] = [attention, ...queue.filter((other) => !RESETS.includes(other))];
      }
    }
  }

  /** MODE SELECT by `who`. */
  change(who: number, control: Control, writeCache: boolean): Expected {
    const before = JSON.stringify([this.control, this.writeCache]);
    this.control = control;
    this.writeCache = writeCache;
    if (JSON.stringify([control, writeCache]) !== before) {
      this.tell(others(who), Sense.MODE_PARAMETERS_CHANGED);
    }
    return GOOD;
  }

  /** LOGICAL UNIT RESET by anybody. */
  resetUnit(): void {
    this.reservations.reset();
    this.control = DEFAULT_CONTROL;
    this.writeCache = true;
    this.tell(everybody(), Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED);
  }

  resetNexus(who: number): void {
    this.reservations.nexusLost(who);
    this.tell([who], Sense.I_T_NEXUS_LOSS_OCCURRED);
  }

  /** The range as bytes; undefined when the LBA is out of range. */
  range(lba: number, blocks: number): Uint8Array | undefined {
    if (lba > BLOCKS || lba + blocks > BLOCKS) return undefined;
    return this.bytes.subarray(lba * BLOCK, (lba + blocks) * BLOCK);
  }
}
