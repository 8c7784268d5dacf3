/** What docs/performance.md promises of memory: with room for another Node.js, none for a leak per unit. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { Load } from '../bench/load.ts';
import { openLoadDevice } from '../bench/load-device.ts';
import { PATTERNS, RequestSequence } from '../bench/pattern.ts';
import { startServe } from './support/serve-process.ts';

const MEBIBYTE = 1 << 20;
const LOGICAL_UNITS = 1000;
/** About 13 when this was written. */
const MAX_KIBIBYTES_PER_UNIT = 40;
/** About 25 when this was written: without the program's own pages, which all processes share. */
const MAX_IDLE_MEBIBYTES = 60;
/** Each about 28 MiB when this was written. */
const SHARDS = 4;

/** Four queues with so many requests in flight each. */
const GUEST = { device: 'scsi', queues: 4, depth: 64, indirect: true } as const;
const REQUESTS = 100_000;
/** About 5 when this was written, most of it requests that are kept for the next time. */
const MAX_MEBIBYTES_PER_GUEST = 16;

/** Private memory of a process, bytes. */
function privateMemory(pid: number): number {
  const [, kibibytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Number(kibibytes) * 1024;
}

test('an idle daemon is small, and a thousand logical units add little to it', async (t) => {
  t.timeout(60_000);
  const one = await startServe(['null:1G']);
  const small = privateMemory(one.pid);
  await one.stop();
  const many = await startServe(new Array(LOGICAL_UNITS).fill('null:1G'));
  const large = privateMemory(many.pid);
  await many.stop();
  t.true(small < MAX_IDLE_MEBIBYTES * MEBIBYTE, `${(small / MEBIBYTE).toFixed(0)} MiB idle`);
  const perUnit = (large - small) / 1024 / LOGICAL_UNITS;
  t.true(perUnit < MAX_KIBIBYTES_PER_UNIT, `${perUnit.toFixed(0)} KiB per logical unit`);
});

test('a shard costs a heap of its own, and no more than a daemon', async (t) => {
  t.timeout(60_000);
  const [none, several] = await Promise.all(
    [0, SHARDS].map((count) => startServe(['null:1G'], { serveArguments: ['--shards', String(count)] })),
  );
  const perShard = (privateMemory(several.pid) - privateMemory(none.pid)) / MEBIBYTE / SHARDS;
  await Promise.all([none.stop(), several.stop()]);
  t.true(perShard > 1 && perShard < MAX_IDLE_MEBIBYTES, `${perShard.toFixed(0)} MiB per shard`);
});

test('a guest that has connected and works costs little', async (t) => {
  t.timeout(60_000);
  const daemon = await startServe(['null:1G']);
  const [pattern] = PATTERNS;
  const connect = async () => {
    const device = await openLoadDevice({ ...GUEST, socket: daemon.socket, pattern });
    new Load(device.queues, new RequestSequence(pattern, 1 << 30)).complete(REQUESTS);
    return device;
  };
  // The first one has the program compiled.
  await (await connect()).close();
  const before = privateMemory(daemon.pid);
  const guest = await connect();
  const cost = (privateMemory(daemon.pid) - before) / MEBIBYTE;
  await guest.close();
  await daemon.stop();
  t.true(cost < MAX_MEBIBYTES_PER_GUEST, `${cost.toFixed(1)} MiB for a guest`);
});
