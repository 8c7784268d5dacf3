/** What a shard is for: the main thread may be busy, or collect garbage, and no guest notices. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test, { type ExecutionContext } from 'ava';
import type { MeasurementRequest, MeasurementResult } from '../../../bench/measurement.ts';
import { packageRoot } from '../../../qemu/package-root.ts';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import type { ServerOptions } from '../../../src/target/server.ts';
import { openHost } from '../../../src/target/shards/sharded-host.ts';
import { luns } from '../../support/luns.ts';

/** Milliseconds. */
const BUSY = 500;
/** A request that took longer waited for the main thread, microseconds. */
const LIMIT = (BUSY / 2) * 1000;
const TRIES = 3;
const SECONDS = 3;
const DISK_BYTES = 16 << 20;
const silent = () => {};
const OPTIONS: ServerOptions = {
  io: 'auto',
  stateDirectory: undefined,
  iscsi: undefined,
  log: { debug: silent, info: silent, warn: silent, error: silent },
};

/** One request after the other from another process, while this thread is kept busy; latencies in microseconds. */
async function measure(t: ExecutionContext, shards: number, busy: () => void): Promise<MeasurementResult> {
  const folder = temporaryFolder();
  const socket = join(folder.path, 's');
  const spec = {
    sockets: [{ path: socket, role: 'listen' as const }],
    luns: luns(`ram:${DISK_BYTES}`),
  };
  const host = await openHost([spec], OPTIONS, shards);
  t.teardown(async () => {
    await host.close();
    folder.remove();
  });
  const request: MeasurementRequest = {
    socket,
    device: 'scsi',
    pattern: { name: '4k mixed', requestBytes: 4096, sequential: false, readPercentage: 50 },
    queues: 1,
    depth: 1,
    indirect: true,
    diskBytes: DISK_BYTES,
    warmUpSeconds: 0.5,
    seconds: SECONDS,
    requestsBefore: 0,
    targetPid: process.pid,
  };
  const generator = join(packageRoot(), 'dist', 'bench', 'generator.js');
  const child = spawn(process.execPath, [generator, JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = text(child.stdout);
  let ended = false;
  child.once('exit', () => {
    ended = true;
  });
  while (!ended) {
    await delay(200);
    busy();
  }
  const result = JSON.parse(await output) as MeasurementResult;
  t.is(result.lost, 0);
  t.is(result.failed, 0);
  return result;
}

/** The same on a shard, again where something else on the machine may have held a request up: what we do, we do always. */
async function undisturbed(t: ExecutionContext, busy: () => void): Promise<MeasurementResult> {
  const results: MeasurementResult[] = [];
  while (results.length < TRIES) {
    const result = await measure(t, 1, busy);
    results.push(result);
    if (result.max < LIMIT) break;
  }
  return results.reduce((best, result) => (result.max < best.max ? result : best));
}

function loop(): void {
  const end = performance.now() + BUSY;
  while (performance.now() < end);
}

test.serial(`requests to a shard do not wait for a main thread that is busy for ${BUSY} ms`, async (t) => {
  const calm = await measure(t, 1, silent);
  const busy = await undisturbed(t, loop);
  const [calmest, busiest] = [calm, busy].map(
    ({ p50, p999, max }) => `p50 ${p50}, p99.9 ${p999}, max ${max} µs`,
  );
  t.log(`calm: ${calmest}; busy: ${busiest}`);
  t.true(busy.max < LIMIT, busiest);
});

test.serial('nor for one that collects garbage', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap: unknown[] = Array.from({ length: 2_000_000 }, (_, i) => ({ i, next: [i] }));
  let longest = 0;
  const { p50, p999, max } = await undisturbed(t, () => {
    const start = performance.now();
    collect();
    longest = Math.max(longest, performance.now() - start);
  });
  t.is(heap.length, 2_000_000);
  t.log(`p50 ${p50}, p99.9 ${p999}, max ${max} µs; collections of up to ${longest.toFixed(0)} ms`);
  t.true(max < LIMIT, `max ${max} µs`);
});

test.serial('without a shard they do wait, which shows that the test above could fail', async (t) => {
  const { max } = await measure(t, 0, loop);
  t.true(max > (BUSY - 100) * 1000, `max ${max} µs`);
});
