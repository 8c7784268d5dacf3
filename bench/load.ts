/**
 * The loop of the load generator: keeps every slot of its queues in flight for a time, and counts. It never
 * sleeps and never turns the event loop, so it wants a process and a core of its own.
 */
import { performance } from 'node:perf_hooks';
import { Histogram } from './histogram.ts';
import type { LoadQueue } from './load-queue.ts';
import type { RequestSequence } from './pattern.ts';

/** Looks at the rings between two looks at the clock, when nothing completes. */
const EMPTY_PASSES_PER_CLOCK = 256;
/** How long requests may still take after the end. */
const DRAIN_MILLISECONDS = 5000;

export interface LoadResult {
  /** Requests completed within the measured time. */
  readonly requests: number;
  readonly seconds: number;
  /** Requests whose response said failure, of those looked at. */
  readonly failed: number;
  /** Requests that never came back. */
  readonly lost: number;
  readonly kicks: number;
}

/** What happens around the measured time, for counters of CPU time. */
export interface LoadObserver {
  started(): void;
  ended(): void;
}

export class Load {
  readonly histogram = new Histogram();
  private readonly queues: readonly LoadQueue[];
  private readonly sequence: RequestSequence;

  constructor(queues: readonly LoadQueue[], sequence: RequestSequence) {
    this.queues = queues;
    this.sequence = sequence;
  }

  /** Makes at least `requests` requests and waits for them. */
  complete(requests: number): void {
    const { queues, histogram } = this;
    if (requests === 0) return;
    for (const queue of queues) queue.start(this.sequence, 0);
    while (sum(queues, 'completed') < requests) {
      for (const queue of queues) queue.pass(0, histogram, true, false);
    }
    this.drain();
  }

  /** Warms up, looking at every response, then measures without looking, then waits for what is in flight. */
  run(warmUpSeconds: number, seconds: number, observer: LoadObserver): LoadResult {
    const { queues, histogram } = this;
    const begin = performance.now();
    for (const queue of queues) queue.start(this.sequence, begin);
    this.spin(begin + warmUpSeconds * 1000, true);
    histogram.clear();
    const kicksBefore = sum(queues, 'kicks');
    const before = sum(queues, 'completed');
    observer.started();
    const from = performance.now();
    const until = this.spin(from + seconds * 1000, false);
    observer.ended();
    const requests = sum(queues, 'completed') - before;
    const kicks = sum(queues, 'kicks') - kicksBefore;
    this.drain();
    return {
      requests,
      seconds: (until - from) / 1000,
      failed: sum(queues, 'failed'),
      lost: sum(queues, 'inFlight'),
      kicks,
    };
  }

  /** Returns the clock at the end. */
  private spin(deadline: number, check: boolean): number {
    const { queues, histogram } = this;
    const count = queues.length;
    let empty = 0;
    let now = performance.now();
    while (now < deadline) {
      let any = false;
      for (let i = 0; i < count; i++) {
        const queue = queues[i];
        if (!queue.ready) continue;
        any = true;
        now = performance.now();
        queue.pass(now, histogram, check, false);
      }
      if (any) continue;
      if (++empty % EMPTY_PASSES_PER_CLOCK === 0) now = performance.now();
    }
    return now;
  }

  private drain(): void {
    const ignored = new Histogram();
    const deadline = performance.now() + DRAIN_MILLISECONDS;
    while (sum(this.queues, 'inFlight') > 0 && performance.now() < deadline) {
      for (const queue of this.queues) queue.pass(0, ignored, true, true);
    }
  }
}

function sum(queues: readonly LoadQueue[], field: 'kicks' | 'completed' | 'failed' | 'inFlight'): number {
  return queues.reduce((total, queue) => total + queue[field], 0);
}
