/**
 * Spinning (`--poll-us`): a ring whose driver is quick to come back is looked at again and again for a while,
 * instead of awaiting its kick. The driver saves its kick, which costs a guest an exit, and we save the wake-up.
 *
 * Bounded twice: a ring is let go when its driver was shown nothing for the time given, except that a disk which is quick
 * is waited for a little longer while it has something to do; and only a driver whose
 * last kick came within that time after it was shown something is waited for at all. So a guest that asks for
 * nothing, or for something now and then, costs no spinning. One of these per shard.
 */
import { performance } from 'node:perf_hooks';
import type { IoEngine } from '../../native/io-engine.ts';

/** Everything else in the event loop waits so long at most, milliseconds. */
const SLICE = 0.05;
/**
 * How long requests that are out are waited for, beside the time given: on disks that take less, spinning saves the
 * wake-up, a tenth of it or more where the processor is a virtual one, and with many requests out sees each as it ends.
 * Milliseconds.
 */
const DISK_PATIENCE = 0.5;
/**
 * What a kick's own way may take, milliseconds: with it a driver that came back at once is still known as quick. A
 * processor that sleeps, and is a virtual one, takes 50 to 100 microseconds to wake up.
 */
const KICK_WAY = 0.1;
/** Looks at the rings for one at the clock, which costs as much as some of them, and is an object. */
const PASSES_PER_CLOCK = 16;
/** Bytes of requests after which it is looked at in any case: some microseconds. */
const BYTES_PER_CLOCK = 64 << 10;

/** What is polled: a vring. */
export interface PolledRing {
  /** Whether there may be something to serve. Asked millions of times per second. */
  readonly ready: boolean;
  /** Whether requests of it are under way. */
  readonly busy: boolean;
  /** Serves what the driver has made available; asks for kicks unless the ring's watch is active. */
  process(): void;
}

/** One ring's part in the spinning. Times are `performance.now()`, milliseconds. */
export class RingWatch {
  /** The ring is looked at, so it needs no kicks. */
  active = false;
  /** When the driver was last shown something; when `fresh`, since then. */
  private shownAt = 0;
  private fresh = false;
  /** When the driver last made chains available. */
  private askedAt = 0;
  private brisk = false;
  /** Whether the disk answered within its patience, the last time that this was seen. */
  private prompt = true;
  private readonly ring: PolledRing;
  private readonly poller: RingPoller;

  constructor(ring: PolledRing, poller: RingPoller) {
    this.ring = ring;
    this.poller = poller;
  }

  /** The driver has made chains of so many bytes available. */
  worked(bytes: number): void {
    this.poller.bytes += bytes;
    if (this.active) {
      this.askedAt = this.poller.now;
      return;
    }
    this.askedAt = performance.now();
    this.brisk = this.askedAt - this.shownAt <= this.poller.limit + KICK_WAY;
  }

  /** The driver was shown that chains are used. */
  shown(): void {
    if (this.active) {
      this.fresh = true;
      return;
    }
    this.shownAt = performance.now();
    this.prompt = this.shownAt - this.askedAt <= this.poller.patience;
    if (!this.brisk) return;
    this.active = true;
    this.poller.add(this);
  }

  look(): void {
    if (this.ring.ready) this.ring.process();
  }

  /** Whether it is still to be looked at, `now`. */
  isWorthwhile(now: number): boolean {
    if (this.fresh) {
      this.fresh = false;
      this.shownAt = now;
      this.prompt = true;
    }
    if (now - this.shownAt <= this.poller.limit) return true;
    if (!this.ring.busy || !this.prompt) return false;
    this.prompt = now - this.askedAt <= this.poller.patience;
    return this.prompt;
  }

  /** Back to kicks. */
  letGo(): void {
    this.active = false;
    this.brisk = false;
    this.ring.process();
  }
}

export class RingPoller {
  /** Milliseconds. */
  readonly limit: number;
  readonly patience: number;
  /** Of requests that were served since the last look at the clock. */
  bytes = 0;
  private readonly engine: IoEngine;
  private readonly watches: RingWatch[] = [];
  /** At the last look at the clock, while rings are looked at. */
  now = 0;
  private scheduled = false;

  /**
   * `microseconds` is how long a driver is waited for, more than 0; `patience`, in milliseconds, how long a disk is in
   * any case.
   */
  constructor(engine: IoEngine, microseconds: number, patience = DISK_PATIENCE) {
    this.engine = engine;
    this.limit = microseconds / 1000;
    this.patience = patience;
  }

  add(watch: RingWatch): void {
    this.watches.push(watch);
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.slice);
  }

  private readonly slice = (): void => {
    const { watches } = this;
    this.scheduled = false;
    try {
      this.now = performance.now();
      const end = this.now + SLICE;
      for (let pass = 1; watches.length > 0 && this.now < end; pass++) {
        this.engine.poll();
        for (let i = 0; i < watches.length; i++) watches[i].look();
        if (this.bytes < BYTES_PER_CLOCK && pass % PASSES_PER_CLOCK !== 0) continue;
        this.bytes = 0;
        this.now = performance.now();
        this.letGo();
      }
    } finally {
      // A ring on the list awaits no kick: whatever happens, somebody has to look at it.
      if (watches.length > 0) this.schedule();
    }
  };

  /** Takes those off the list that nothing was shown to for too long. */
  private letGo(): void {
    const { watches, now } = this;
    for (let i = watches.length - 1; i >= 0; i--) {
      const watch = watches[i];
      if (watch.isWorthwhile(now)) continue;
      watches[i] = watches[watches.length - 1];
      watches.pop();
      watch.letGo();
    }
  }
}
