/**
 * One ring from set-up to stop, whatever its layout and whatever its chains mean: its eventfds, its states
 * ("Ring states" in the vhost-user protocol), and the loop from kick to signal.
 */
import { addon, type RawPoll } from '../../native/addon.ts';
import { Errno } from '../../native/errno.ts';
import type { Batch } from './batch.ts';
import { DescriptorChain } from './descriptor-chain.ts';
import type { RingAddresses } from './message.ts';
import { ProtocolError, VirtqueueError } from './protocol-error.ts';
import { RingWatch } from './ring-poller.ts';
import { TRANSLATION_MISS } from './translation-miss.ts';
import { UnkickedRing } from './unkicked-ring.ts';
import { CHAIN_LIMIT, type Virtqueue } from './virtqueue.ts';
import type { VringHandler } from './vring-handler.ts';

const NO_FD = -1;

/** After so many rounds without a pause, the ring lets others run first. */
const ROUNDS_PER_KICK = 4;
/** A round takes chains until they have so many bytes: what it moves is shown to the driver after it. */
const ROUND_BYTES = 512 << 10;
/**
 * Of a round, so many chains are started and shown at a time: a driver that looks for itself works on them while the
 * next ones are served. A power of two.
 */
const PORTION = 8;

export interface VringCounters {
  kicks: number;
  /** Chains given back. */
  completed: number;
  signals: number;
}

export class Vring {
  readonly index: number;
  readonly handler: VringHandler;
  /** SET_VRING_NUM, descriptors. */
  size = 0;
  /** SET_VRING_BASE. */
  base = 0;
  addresses: RingAddresses | undefined = undefined;
  enabled = false;
  /** Its memory is behind translations that are not there yet; it starts when they are. */
  waitsForMemory = false;
  /** Chains that an earlier process had taken, oldest first: they come before all others. */
  unfinished: number[] = [];
  /** Set while the ring is started. */
  queue: Virtqueue | undefined = undefined;
  readonly counters: VringCounters = { kicks: 0, completed: 0, signals: 0 };
  /** Whether pushed chains wait for `publish`. Kept by the batch. */
  dirty = false;
  private readonly batch: Batch;
  /** Undefined where nobody spins. */
  private readonly watch: RingWatch | undefined;
  /** Set while the front-end wants the ring to be polled. */
  private unkicked: UnkickedRing | undefined = undefined;
  private kickFd = NO_FD;
  private callFd = NO_FD;
  private errFd = NO_FD;
  /** Not one word of a call or error descriptor: signals go by message, where that is negotiated. */
  private callInBand = true;
  private errInBand = true;
  private poll: RawPoll | undefined = undefined;
  /** No chains are taken: the ring is about to stop, its memory to change, or the driver broke its rules. */
  private paused = false;
  /** Completions are thrown away: nobody is left to hear of them. */
  private discarding = false;
  /** The driver wanted a signal for what it was shown last. */
  private sleeps = true;
  /** Of `counters.completed`, what the driver was shown. */
  private shown = 0;
  /** What is published now is a part of a round that goes on. */
  private goesOn = false;
  private running = false;
  private readonly whenDrained: (() => void)[] = [];
  private readonly chain = new DescriptorChain(CHAIN_LIMIT);

  constructor(index: number, handler: VringHandler, batch: Batch) {
    this.index = index;
    this.handler = handler;
    this.batch = batch;
    this.watch = batch.poller && new RingWatch(this, batch.poller);
  }

  get busy(): boolean {
    return this.queue !== undefined && this.queue.inFlight > 0;
  }

  get ready(): boolean {
    const { queue } = this;
    return queue !== undefined && (queue.hasAvailable || this.unfinished.length > 0);
  }

  get started(): boolean {
    return this.queue !== undefined;
  }

  get takes(): boolean {
    return this.started && this.enabled && !this.paused && !this.batch.held;
  }

  /** Takes over `fd`; without one, the ring is looked at from now on. */
  setKick(fd: number | undefined): void {
    this.forgetKick();
    if (fd === undefined) this.unkicked = new UnkickedRing(this);
    else this.kickFd = fd;
  }

  /** Takes over `fd`, or none. */
  setCall(fd: number | undefined): void {
    this.callFd = replace(this.callFd, fd);
    this.callInBand = false;
    if (fd !== undefined) this.checkSignalled(fd);
    // QEMU 7.2 lets the guest kick before it hands over the real call descriptor. What was signalled on the old
    // one is lost, and a signal too many does no harm. A stopped ring has signalled nothing, and must not.
    if (fd !== undefined && (this.started || this.waitsForMemory)) this.signal(fd);
  }

  /** Takes over `fd`, or none. */
  setErr(fd: number | undefined): void {
    this.errFd = replace(this.errFd, fd);
    this.errInBand = false;
    if (fd !== undefined) this.checkSignalled(fd);
  }

  /** Starts, or starts again after its memory changed; looks at the ring without waiting for a kick. */
  start(queue: Virtqueue): void {
    this.queue = queue;
    this.waitsForMemory = false;
    this.paused = false;
    this.discarding = false;
    this.listen();
  }

  /** Cannot start, or go on, before its memory can be found. */
  waitForMemory(): void {
    this.base = this.queue?.base ?? this.base;
    this.queue = undefined;
    this.waitsForMemory = true;
  }

  /** Awaits kicks of a started ring, and looks at what is there already. */
  listen(): void {
    if (this.kickFd !== NO_FD && this.poll === undefined) {
      const poll = addon.pollEventfd(this.kickFd, () => {
        this.counters.kicks++;
        this.process();
      });
      if (typeof poll === 'number')
        throw new ProtocolError(`the kick descriptor of ring ${this.index} is no eventfd`);
      this.poll = poll;
    }
    this.process();
  }

  /** A kick that came as a message. */
  kicked(): void {
    this.counters.kicks++;
    this.process();
  }

  enable(enabled: boolean): void {
    this.enabled = enabled;
    this.process();
  }

  /** Takes no more chains; those taken go on. */
  pause(): void {
    this.paused = true;
  }

  /** Resolves when every chain taken was given back. */
  drained(): Promise<void> {
    if (!this.busy) return Promise.resolve();
    return new Promise((resolve) => this.whenDrained.push(resolve));
  }

  /** After `drained`: the ring's memory is not touched again, and its descriptors are closed. */
  stop(): number {
    this.base = this.queue?.base ?? this.base;
    this.queue = undefined;
    this.waitsForMemory = false;
    this.forgetKick();
    const { callInBand } = this;
    this.setCall(undefined);
    // QEMU takes the feature for granted and knows no such message; but it has spoken of a descriptor before, and will
    // again, if only when the ring has started.
    this.callInBand = callInBand;
    return this.base;
  }

  /** From now on completions change no byte of the guest's, and signal nobody. */
  discard(): void {
    this.paused = true;
    this.discarding = true;
  }

  get discards(): boolean {
    return this.discarding;
  }

  /** Closes everything, as for a ring that never was. */
  close(): void {
    this.stop();
    this.setErr(undefined);
  }

  /** Tells the front-end that this ring is broken (SET_VRING_ERR). */
  signalError(): void {
    if (this.errFd !== NO_FD) this.signal(this.errFd);
    else if (this.errInBand) this.batch.errorInBand(this);
  }

  /** The loop from available chains to a quiet ring. Never called from within itself. */
  process(): void {
    const { queue, handler, batch, watch, unkicked } = this;
    if (queue === undefined || !this.enabled || this.paused || this.running || batch.held) return;
    this.running = true;
    unkicked?.awaken();
    try {
      for (let round = 1; ; round++) {
        batch.begin();
        if (!watch?.active) queue.pauseKicks();
        while (this.unfinished.length > 0) this.acceptUnfinished(queue);
        const welcome = handler.available === undefined ? this.acceptAll(queue) : handler.available(this);
        batch.run();
        if (
          this.queue !== queue ||
          this.paused ||
          !welcome ||
          watch?.active ||
          unkicked !== undefined ||
          (batch.stalled && !handler.urgent)
        )
          return;
        if (!queue.awaitKicks()) return;
        if (round === ROUNDS_PER_KICK) {
          batch.later(this);
          return;
        }
      }
    } catch (error) {
      // What was accepted before goes on.
      batch.run();
      if (error instanceof VirtqueueError) batch.broken(this, error);
      else if (error !== TRANSLATION_MISS) batch.defect(this, error);
    } finally {
      this.running = false;
      // Whether kicks are wanted is said in guest memory, too.
      this.logUsedRing();
    }
  }

  /** Takes one chain, for handlers that take them when they need them; undefined when there is none. */
  take(): DescriptorChain | undefined {
    const { queue } = this;
    if (queue === undefined || !this.enabled || this.paused || this.batch.held) return undefined;
    try {
      if (!queue.pop(this.chain)) return undefined;
      this.batch.load += this.chain.cost;
      return this.chain;
    } catch (error) {
      if (error instanceof VirtqueueError) this.batch.broken(this, error);
      else if (error !== TRANSLATION_MISS) throw error;
      return undefined;
    }
  }

  /** Undoes the last `take`. */
  untake(head: number): void {
    this.batch.load -= this.queue!.undo(head);
  }

  /** Gives a chain back; the driver hears of it at the end of the batch. `written` in bytes. */
  push(head: number, written: number): void {
    const { batch } = this;
    const queue = this.queue!;
    batch.load -= this.discarding ? queue.drop(head) : queue.push(head, written);
    this.counters.completed++;
    batch.mark(this);
  }

  /** Called at the end of a batch: shows the driver what was pushed, and signals it once if it wants that. */
  publish(): void {
    const { queue } = this;
    if (queue === undefined) return;
    if (!this.discarding) {
      const wanted = queue.publish(this.goesOn);
      if (!this.goesOn) this.sleeps = wanted;
      this.logUsedRing();
      const { completed } = this.counters;
      // At a round's end the driver is asked though it may have been shown everything before, or nothing at all.
      if (completed !== this.shown) {
        this.shown = completed;
        this.watch?.shown();
        this.unkicked?.worked();
      }
      if (wanted) this.call();
    }
    if (queue.inFlight === 0 && this.whenDrained.length > 0) {
      for (const resolve of this.whenDrained.splice(0)) resolve();
    }
  }

  /** Tells the driver to look at what was used. */
  call(): void {
    if (this.callFd !== NO_FD) {
      this.counters.signals++;
      this.signal(this.callFd);
    } else if (this.callInBand) this.batch.callInBand(this);
  }

  /** A round: no more than a ringful or ROUND_BYTES, so that no ring keeps the others waiting. */
  private acceptAll(queue: Virtqueue): boolean {
    const { chain, batch } = this;
    const { urgent } = this.handler;
    let taken = 0;
    let bytes = 0;
    for (; bytes < ROUND_BYTES && taken < queue.size; bytes += chain.bytes) {
      if (this.paused || !(urgent || batch.admits) || !queue.pop(chain)) break;
      this.accept(queue);
      taken++;
      // A driver that sleeps is woken once, by the whole round.
      if ((taken & (PORTION - 1)) === 0 && !this.sleeps) this.showPortion();
    }
    if (taken > 0) {
      this.watch?.worked(bytes);
      this.unkicked?.worked();
    }
    return true;
  }

  /** Starts and shows what was accepted so far, of a round that goes on. */
  private showPortion(): void {
    const { batch } = this;
    this.goesOn = true;
    try {
      batch.run();
    } finally {
      this.goesOn = false;
      batch.begin();
      // The driver is asked at the round's end, whatever happens before.
      batch.mark(this);
    }
  }

  private accept(queue: Virtqueue): void {
    const { chain, batch } = this;
    const { head } = chain;
    batch.load += chain.cost;
    try {
      this.handler.accept(this, chain);
    } catch (error) {
      // A chain that nobody works on is, for the driver and the in-flight buffer, where the process before left it.
      batch.load -= error === TRANSLATION_MISS ? queue.undo(head) : queue.drop(head);
      throw error;
    }
  }

  private acceptUnfinished(queue: Virtqueue): void {
    const { chain, batch } = this;
    queue.resubmit(this.unfinished[0], chain);
    const { head } = chain;
    batch.load += chain.cost;
    try {
      this.handler.accept(this, chain);
    } catch (error) {
      batch.load -= queue.drop(head);
      throw error;
    }
    this.unfinished.shift();
  }

  private logUsedRing(): void {
    const { log } = this.batch;
    const { addresses, queue } = this;
    if (log !== undefined && addresses?.logged && queue !== undefined) queue.markWritten(log, addresses.log);
  }

  private checkSignalled(fd: number): void {
    if (!addon.isEventfd(fd)) throw new ProtocolError(`a descriptor of ring ${this.index} is no eventfd`);
    addon.setNonblocking(fd);
  }

  private signal(fd: number): void {
    if (addon.signal(fd) === Errno.EBUSY) this.batch.obstructed(this);
  }

  private forgetKick(): void {
    this.poll?.stop();
    this.poll = undefined;
    this.unkicked?.stop();
    this.unkicked = undefined;
    this.kickFd = replace(this.kickFd, undefined);
  }
}

function replace(old: number, fd: number | undefined): number {
  if (old !== NO_FD) addon.closeForeign(old);
  return fd ?? NO_FD;
}
