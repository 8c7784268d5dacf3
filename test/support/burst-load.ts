/**
 * Load on a disk of another process, in bursts: between them this process reads what the other one prints.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Histogram } from '../../bench/histogram.ts';
import { openLoadDevice } from '../../bench/load-device.ts';
import { RequestSequence } from '../../bench/pattern.ts';

const PATTERN = { name: '4k mixed', requestBytes: 4096, sequential: false, readPercentage: 70 };
const BURST = 50_000;
/** Milliseconds until what the other process has printed is here. */
const PIPE = 100;

export interface BurstLoad {
  /** Resolves when so many more requests are done, and what was printed meanwhile has been read. */
  drive(requests: number): Promise<void>;
  close(): Promise<void>;
}

/** READs and WRITEs of 4 KiB at random places, `depth` at a time. */
export async function openBurstLoad(socket: string, diskBytes: number, depth: number): Promise<BurstLoad> {
  const device = await openLoadDevice({
    socket,
    device: 'scsi',
    pattern: PATTERN,
    queues: 1,
    depth,
    indirect: true,
  });
  const [queue] = device.queues;
  const histogram = new Histogram();
  queue.start(new RequestSequence(PATTERN, diskBytes), 0);
  return {
    async drive(requests) {
      const end = queue.completed + requests;
      while (queue.completed < end) {
        const pause = Math.min(end, queue.completed + BURST);
        while (queue.completed < pause) queue.pass(0, histogram, false, false);
        await delay(1);
      }
      await delay(PIPE);
    },
    async close() {
      while (queue.inFlight > 0) queue.pass(0, histogram, true, true);
      await device.close();
    },
  };
}
