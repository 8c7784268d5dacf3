/**
 * Target and driver in one process and one event loop: no measure of speed, but the place to count what a request
 * allocates and what it costs beside a known piece of work. `node dist/bench/in-process.js DISK REQUESTS scsi|blk DEPTH
 * GUESTS`, where so many guests (default 1) come and go in turn, prints of the last one
 *
 *   bytesPerRequest  heap bytes allocated per READ or WRITE, the event loop's turns included
 *   nanoseconds      CPU time of a request, driver and target together
 *   loops            the same in steps of the calibration loop
 *
 * CPU time is the least of many windows: what else the machine does can only add to it.
 *
 * as JSON. Run it with `--expose-gc --min-semi-space-size=64`: a collection in between would hide allocations.
 */
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { parseDisk } from '../src/target/disk-spec.ts';
import { inlineHotPath } from '../src/target/inlining.ts';

import type { DeviceKind } from '../src/target/served-target.ts';
import { Server } from '../src/target/server.ts';
import { Histogram } from './histogram.ts';
import { openLoadDevice } from './load-device.ts';
import { RequestSequence } from './pattern.ts';

/** Many requests per turn of the event loop, so that the turn itself weighs little. */
const DEPTH = '1024';
const PATTERN = { name: '4k mixed', requestBytes: 4096, sequential: false, readPercentage: 50 };
const WARM_UP_REQUESTS = 100_000;
const WINDOWS = 20;
const CALIBRATION_STEPS = 2_000_000;

export interface InProcessResult {
  readonly bytesPerRequest: number;
  readonly nanoseconds: number;
  readonly loops: number;
  readonly failed: number;
}

async function measure(
  disk: string,
  requests: number,
  kind: DeviceKind,
  depth: number,
  guests: number,
): Promise<InProcessResult> {
  const folder = temporaryFolder();
  const socketPath = join(folder.path, 's');
  const silent = () => {};
  const server = await Server.open(
    [
      {
        sockets: [{ path: socketPath, role: 'listen' }],
        luns: [{ lun: 0, disk: parseDisk(disk) }],
        device: kind,
      },
    ],
    {
      io: 'auto',
      stateDirectory: undefined,
      iscsi: undefined,
      log: { debug: silent, info: silent, warn: console.error, error: console.error },
    },
  );
  const loadOptions = {
    socket: socketPath,
    device: kind,
    pattern: PATTERN,
    queues: 1,
    depth,
    indirect: true,
  };
  for (let guest = 1; guest < guests; guest++) await (await openLoadDevice(loadOptions)).close();
  const device = await openLoadDevice(loadOptions);
  const [queue] = device.queues;
  const histogram = new Histogram();

  const drive = async (count: number) => {
    const end = queue.completed + count;
    while (queue.completed < end) {
      await turn();
      queue.pass(0, histogram, true, false);
    }
  };

  queue.start(new RequestSequence(PATTERN, server.targets[0].disks.get(0)!.backstore.byteLength), 0);
  await drive(WARM_UP_REQUESTS);
  // The first request hears of the power-on.
  const failedBefore = queue.failed;
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  let microseconds = Number.POSITIVE_INFINITY;
  for (let window = 0; window < WINDOWS; window++) {
    const completed = queue.completed;
    const cpu = cpuMicroseconds();
    await drive(requests / WINDOWS);
    microseconds = Math.min(microseconds, (cpuMicroseconds() - cpu) / (queue.completed - completed));
  }
  const allocated = process.memoryUsage().heapUsed - heap;

  while (queue.inFlight > 0) {
    await turn();
    queue.pass(0, histogram, true, true);
  }
  await device.close();
  await server.close();
  folder.remove();
  return {
    bytesPerRequest: allocated / requests,
    nanoseconds: microseconds * 1000,
    loops: microseconds / calibrate(),
    failed: queue.failed - failedBefore,
  };
}

/** User and system time of this process. */
function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** CPU microseconds of one step of a loop like the data path's own work: typed arrays, integers, branches. */
function calibrate(): number {
  const words = new Uint32Array(4096).map((_, i) => i * 2654435761);
  const run = () => {
    let sum = 0;
    for (let i = 0; i < CALIBRATION_STEPS; i++) {
      const word = words[(sum + i) & 4095];
      sum = (word & 1) === 0 ? (sum + word) | 0 : sum ^ word;
    }
    return sum;
  };
  let least = Number.POSITIVE_INFINITY;
  for (let window = 0; window < WINDOWS; window++) {
    const before = cpuMicroseconds();
    run();
    least = Math.min(least, cpuMicroseconds() - before);
  }
  return least / CALIBRATION_STEPS;
}

inlineHotPath();
const [disk = 'ram:16M', requests = '100000', kind = 'scsi', depth = DEPTH, guests = '1'] =
  process.argv.slice(2);
const result = await measure(disk, Number(requests), kind as DeviceKind, Number(depth), Number(guests));
console.log(JSON.stringify(result));
