/** What an operation costs, for the log: `make unit T=test/native/engine-cost.test.ts` shows it. */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { IoFlag } from '../../src/native/engine-spec.ts';
import { IoEngine, type IoOwner } from '../../src/native/io-engine.ts';
import { RegionMemory } from '../../src/native/memory.ts';
import type { Segments } from '../../src/native/segments.ts';
import { KIB, MIB, temporaryFolder } from './support.ts';

const BLOCK = 4 * KIB;
const FILE = 16 * MIB;
// A multiple of a block that visits all of the disk in no order that hardware foresees.
const STEP = 1009 * BLOCK;

type Start = (engine: IoEngine, offset: number, segments: Segments, owner: IoOwner) => void;

/** Keeps `depth` operations going, a whole batch at a time. */
async function measure(
  engine: IoEngine,
  depth: number,
  total: number,
  span: number,
  guestId: number,
  start: Start,
) {
  const lists = Array.from({ length: depth }, (_, i) => ({
    triples: Float64Array.of(guestId, i * BLOCK, BLOCK),
    count: 1,
  }));
  let at = 0;
  let running = 0;
  let left = total;
  let failed = 0;
  let finish = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const batch = () => {
    for (let i = 0; i < depth; i++) {
      start(engine, at, lists[i], owner);
      at = (at + STEP) % span;
    }
    running = depth;
    left -= depth;
  };
  const owner: IoOwner = {
    ioCompleted(result) {
      if (result !== BLOCK) failed++;
      if (--running > 0) return;
      if (left > 0) batch();
      else finish();
    },
  };
  const before = process.hrtime.bigint();
  batch();
  engine.run();
  await finished;
  const nanoseconds = Number(process.hrtime.bigint() - before) / total;
  if (failed > 0) throw new Error(`${failed} operations failed`);
  return Math.round(nanoseconds);
}

async function report(
  t: ExecutionContext,
  title: string,
  span: number,
  total: number,
  start: Start,
  mode?: 'threads',
) {
  const engine = new IoEngine(mode === undefined ? {} : { mode });
  const memory = new RegionMemory();
  const guest = memory.mapAnonymous(MIB);
  memory.bytes(guest, 0, MIB).fill(1);
  const figures: string[] = [];
  for (const depth of [1, 32]) {
    await measure(engine, depth, total / 4, span, guest.id, start);
    figures.push(`${await measure(engine, depth, total, span, guest.id, start)} ns at depth ${depth}`);
  }
  t.log(`${title}: ${figures.join(', ')}`);
  await engine.drain();
  engine.close();
  memory.unmap(guest);
}

test.serial('RAM, 4 KiB', async (t) => {
  const memory = new RegionMemory();
  for (const [name, span] of [
    ['in the cache', MIB],
    ['beyond the cache', 64 * MIB],
  ] as const) {
    const disk = memory.mapAnonymous(span, { hugepages: true });
    memory.bytes(disk, 0, span).fill(2);
    await report(t, `RAM read, ${name}`, span, 64_000, (engine, at, list, owner) =>
      engine.ramRead(disk.id, at, BLOCK, list, 0, owner),
    );
    await report(t, `RAM write, ${name}`, span, 64_000, (engine, at, list, owner) =>
      engine.ramWrite(disk.id, at, BLOCK, list, 0, owner),
    );
    memory.unmap(disk);
  }
  t.pass();
});

for (const [name, parent, flags] of [
  ['tmpfs', '/dev/shm', IoFlag.INLINE],
  ['disk, cached', undefined, IoFlag.INLINE],
  ['disk, O_DIRECT', undefined, IoFlag.DIRECT],
] as const) {
  test.serial(`file on ${name}, 4 KiB`, async (t) => {
    const path = join(temporaryFolder(t, parent), 'disk');
    const filler = openSync(path, 'w');
    const chunk = new Uint8Array(MIB).fill(3);
    for (let at = 0; at < FILE; at += MIB) writeSync(filler, chunk, 0, MIB, at);
    closeSync(filler);
    const direct = flags === IoFlag.DIRECT;
    const fd = openSync(path, constants.O_RDWR | (direct ? constants.O_DIRECT : 0));
    t.teardown(() => closeSync(fd));
    const total = direct ? 640 : 32_000;
    await report(t, `${name}, read`, FILE, total, (engine, at, list, owner) =>
      engine.read(fd, at, BLOCK, list, 0, flags, owner),
    );
    await report(t, `${name}, write`, FILE, total, (engine, at, list, owner) =>
      engine.write(fd, at, BLOCK, list, 0, flags, owner),
    );
    t.pass();
  });
}
