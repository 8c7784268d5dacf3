/**
 * Target and driver in one process and one event loop: no measure of speed, but the place to count what a request
 * allocates and what it costs beside a known piece of work. `node dist/bench/in-process.js DISK REQUESTS` prints
 *
 *   bytesPerRequest  heap bytes allocated per READ or WRITE, the event loop's turns included
 *   loops            CPU time of a request in steps of the calibration loop
 *
 * as JSON. Run it with `--expose-gc --min-semi-space-size=64`: a collection in between would hide allocations.
 */
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { QueueIndex } from '../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { parseDisk } from '../src/target/disk-spec.ts';
import { Server } from '../src/target/server.ts';
import { FrontEnd } from '../test/support/vhost-user/front-end.ts';
import { GuestMemory } from '../test/support/vhost-user/guest-memory.ts';
import { Histogram } from './histogram.ts';
import { LoadQueue } from './load-queue.ts';
import { RequestSequence } from './pattern.ts';
import { SCSI_FORMAT } from './request-format.ts';

const MEBIBYTE = 1 << 20;
const DISK_BYTES = 16 * MEBIBYTE;
const DEPTH = 128;
const PATTERN = { name: '4k mixed', requestBytes: 4096, sequential: false, readPercentage: 50 };
const WARM_UP_REQUESTS = 50_000;
const CALIBRATION_STEPS = 50_000_000;

export interface InProcessResult {
  readonly bytesPerRequest: number;
  readonly loops: number;
  readonly failed: number;
}

async function measure(disk: string, requests: number): Promise<InProcessResult> {
  const folder = temporaryFolder();
  const socketPath = join(folder.path, 's');
  const silent = () => {};
  const server = await Server.open([{ socketPath, disks: [parseDisk(disk)] }], {
    io: 'auto',
    stateDirectory: undefined,
    iscsi: undefined,
    log: { debug: silent, info: silent, warn: console.error, error: console.error },
  });
  const memory = new GuestMemory([{ guestAddress: 0, length: 16 * MEBIBYTE }]);
  const frontEnd = FrontEnd.connect(socketPath);
  await frontEnd.negotiate();
  await frontEnd.shareMemory(memory);
  const queue = new LoadQueue(memory, {
    slots: DEPTH,
    pattern: PATTERN,
    format: SCSI_FORMAT,
    eventIdx: true,
    indirect: true,
  });
  await frontEnd.setUpRing(QueueIndex.FIRST_REQUEST, queue, memory);
  await frontEnd.enableRing(QueueIndex.FIRST_REQUEST);
  const histogram = new Histogram();

  const drive = async (count: number) => {
    const end = queue.completed + count;
    while (queue.completed < end) {
      await turn();
      queue.pass(0, histogram, true, false);
    }
  };

  queue.start(new RequestSequence(PATTERN, DISK_BYTES), 0);
  await drive(WARM_UP_REQUESTS);
  // The first request hears of the power-on.
  const failedBefore = queue.failed;
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  const cpu = process.cpuUsage();
  await drive(requests);
  const { user, system } = process.cpuUsage(cpu);
  const allocated = process.memoryUsage().heapUsed - heap;

  await frontEnd.getVringBase(QueueIndex.FIRST_REQUEST);
  frontEnd.close();
  await server.close();
  memory.close();
  folder.remove();
  return {
    bytesPerRequest: allocated / requests,
    loops: (user + system) / requests / calibrate(),
    failed: queue.failed - failedBefore,
  };
}

/** CPU microseconds of one step of a loop like the data path's own work: typed arrays, integers, branches. */
function calibrate(): number {
  const words = new Uint32Array(4096).map((_, i) => i * 2654435761);
  const run = (steps: number) => {
    let sum = 0;
    for (let i = 0; i < steps; i++) {
      const word = words[(sum + i) & 4095];
      sum = (word & 1) === 0 ? (sum + word) | 0 : sum ^ word;
    }
    return sum;
  };
  run(CALIBRATION_STEPS / 10);
  const before = process.cpuUsage();
  run(CALIBRATION_STEPS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / CALIBRATION_STEPS;
}

const [disk = 'ram:16M', requests = '100000'] = process.argv.slice(2);
console.log(JSON.stringify(await measure(disk, Number(requests))));
