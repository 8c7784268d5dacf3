/** Pending unit attention conditions of one I_T_L nexus, reported one at a time (SAM-5 5.14). */
import { type ControlMode, UaIntlck } from './control-mode.ts';
import { Sense, type SenseCode } from './sense-spec.ts';

/**
 * Conditions of resets, the strongest first (SAM-5 5.14, table of precedence); all others follow them in the order
 * in which they arose. Each reset covers the weaker ones: nothing is left to say about a nexus loss after a reset.
 */
const RESETS = [
  Sense.POWER_ON_OR_RESET_OCCURRED,
  Sense.MICROCODE_HAS_BEEN_CHANGED,
  Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED,
  Sense.I_T_NEXUS_LOSS_OCCURRED,
].map((attention) => attention.code);

/** 0 for the strongest; all that are no resets share the highest number. */
function level(attention: SenseCode): number {
  const at = RESETS.indexOf(attention.code);
  return at < 0 ? RESETS.length : at;
}

export class UnitAttentionQueue {
  /** Whether any is pending: the one thing the path of a READ looks at. */
  pending = false;
  private readonly queue: SenseCode[] = [];
  private readonly forgotten: (() => void) | undefined;

  /** `forgotten` is called whenever a condition is pending no more: reported, cleared, or covered by a reset. */
  constructor(forgotten?: () => void) {
    this.forgotten = forgotten;
  }

  /** Queues a condition, unless it is pending already or a stronger reset is. */
  establish(attention: SenseCode): void {
    const { queue } = this;
    const own = level(attention);
    if (own < RESETS.length) {
      if (queue.length > 0 && level(queue[0]) <= own) return;
      if (this.resetPending) queue.shift();
      // Power on: whatever changed before is not news to an initiator that knows nothing yet.
      if (own <= RESETS.indexOf(Sense.POWER_ON_OR_RESET_OCCURRED.code)) this.clearAll();
      queue.unshift(attention);
    } else if (!queue.some((other) => other.code === attention.code)) {
      queue.push(attention);
    }
    this.pending = true;
  }

  get length(): number {
    return this.queue.length;
  }

  /** Whether a reset is to be reported, which comes before a reservation conflict (SAM-5 5.3.3). */
  get resetPending(): boolean {
    return this.queue.length > 0 && level(this.queue[0]) < RESETS.length;
  }

  peek(): SenseCode | undefined {
    return this.queue[0];
  }

  /** Takes the condition that is to be reported first: REQUEST SENSE does so in every mode. */
  take(): SenseCode | undefined {
    const attention = this.queue.shift();
    this.pending = this.queue.length > 0;
    this.forgotten?.();
    return attention;
  }

  /** The condition for a CHECK CONDITION; it stays pending when interlocked (UA_INTLCK_CTRL, SPC-4 7.5.8). */
  report(control: ControlMode): SenseCode {
    return control.uaIntlck === UaIntlck.CLEAR_ON_REPORT ? this.take()! : this.queue[0];
  }

  /** Clears one kind, as REPORT LUNS does with 3F/0E. */
  clear(code: number): void {
    const index = this.queue.findIndex((attention) => attention.code === code);
    if (index < 0) return;
    this.queue.splice(index, 1);
    this.pending = this.queue.length > 0;
    this.forgotten?.();
  }

  clearAll(): void {
    this.queue.length = 0;
    this.pending = false;
    this.forgotten?.();
  }
}
