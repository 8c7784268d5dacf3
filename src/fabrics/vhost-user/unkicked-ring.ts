/**
 * A ring whose front-end gave no kick descriptor (SET_VRING_KICK with the flag for none): nobody tells when its driver
 * adds something, so it is looked at. All the time while there was something a moment ago, else about a thousand
 * times per second, and not at all while it may take nothing. ring-poller.ts is for rings that are kicked.
 */
import { performance } from 'node:perf_hooks';

/** How long a driver is expected back at once, milliseconds. As much as the event loop's shortest timer takes. */
const PATIENCE = 1;
/** Between looks at a ring in which nothing happens, milliseconds. */
const LOOK_EVERY = 1;

/** What is looked at: a vring. */
export interface SilentRing {
  /** Whether its driver may have added something. */
  readonly ready: boolean;
  /** Whether it may be taken: the ring is started and enabled, and nothing holds it up. */
  readonly takes: boolean;
  /** Serves what the driver has made available, and calls `awaken` when it may take anything. */
  process(): void;
}

export class UnkickedRing {
  private readonly ring: SilentRing;
  private workedAt = 0;
  private timer: NodeJS.Timeout | undefined = undefined;
  private immediate: NodeJS.Immediate | undefined = undefined;

  constructor(ring: SilentRing) {
    this.ring = ring;
  }

  /** Chains were taken from the ring or given back: its driver may soon have more. */
  worked(): void {
    this.workedAt = performance.now();
    if (this.timer === undefined) return;
    this.stop();
    this.awaken();
  }

  /** The ring is looked at once more, soon: it may take chains, and asks for no kicks. */
  awaken(): void {
    if (this.timer !== undefined || this.immediate !== undefined) return;
    if (performance.now() - this.workedAt <= PATIENCE) this.immediate = setImmediate(this.look);
    else this.timer = setTimeout(this.look, LOOK_EVERY);
  }

  stop(): void {
    clearTimeout(this.timer);
    clearImmediate(this.immediate);
    this.timer = undefined;
    this.immediate = undefined;
  }

  private readonly look = (): void => {
    this.timer = undefined;
    this.immediate = undefined;
    const { ring } = this;
    // A ring that takes nothing now is processed when it may again, and that awakens this.
    if (ring.ready) ring.process();
    else if (ring.takes) this.awaken();
  };
}
