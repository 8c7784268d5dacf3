/** Several environments in one process: each has its own state, and leaves nothing behind. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { Errno } from '../../src/native/errno.ts';
import { IoEngine } from '../../src/native/io-engine.ts';
import { PAGE, USABLE_MODES } from './support.ts';

const ADDON = JSON.stringify(new URL('../../src/native/addon.js', import.meta.url).href);
const ENGINE = JSON.stringify(new URL('../../src/native/io-engine.js', import.meta.url).href);
const MEMORY = JSON.stringify(new URL('../../src/native/memory.js', import.meta.url).href);

/** Starts a worker from its source; it may use `parentPort` and `workerData`. */
function start(source: string, workerData?: unknown): Worker {
  const prelude = `const { parentPort, workerData } = require('node:worker_threads');`;
  return new Worker(`${prelude} (async () => { ${source} })();`, { eval: true, workerData });
}

function message<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`exit ${code}`)));
  });
}

function exit(worker: Worker): Promise<number> {
  return new Promise((resolve) => worker.once('exit', resolve));
}

function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd');
}

/** io_uring instances of this process. */
function rings(): number {
  return openDescriptors().filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[io_uring]';
    } catch {
      return false;
    }
  }).length;
}

/** Mappings of files with this in their name. */
function mappings(name: string): number {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.includes(name)).length;
}

function threads(name: string): number {
  return readdirSync('/proc/self/task').filter((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim() === name;
    } catch {
      return false;
    }
  }).length;
}

test.serial('regions of one thread are none of another', async (t) => {
  const mine = addon.mapAnonymous(PAGE, false);
  const worker = start(
    `
    const { addon } = await import(${ADDON});
    const before = addon.regionWindows(workerData).length;
    const own = addon.mapAnonymous(4096, false);
    parentPort.postMessage({ before, own });`,
    mine + 10,
  );
  const { before } = await message<{ before: number; own: number }>(worker);
  t.is(before, 0);
  t.is(addon.unmapRegion(mine), 0);
});

test.serial('threads share memory by its file', async (t) => {
  const fd = addon.memfd('shared', PAGE);
  const region = addon.mapRegion(fd, 0, PAGE, false);
  const bytes = new Uint8Array(addon.regionWindows(region)[0]);
  const worker = start(
    `
    const { addon } = await import(${ADDON});
    const region = addon.mapRegion(workerData, 0, 4096, false);
    new Uint8Array(addon.regionWindows(region)[0])[7] = 42;
    parentPort.postMessage('done');`,
    fd,
  );
  await message(worker);
  t.is(bytes[7], 42);
  addon.close(fd);
  addon.unmapRegion(region);
});

for (const mode of USABLE_MODES) {
  test.serial(`${mode}: four shards at once`, async (t) => {
    const workers = Array.from({ length: 4 }, () =>
      start(
        `
        const { IoEngine } = await import(${ENGINE});
        const { RegionMemory } = await import(${MEMORY});
        const { openSync } = require('node:fs');
        const memory = new RegionMemory();
        const region = memory.mapAnonymous(1 << 20);
        const engine = new IoEngine({ mode: workerData });
        const fd = openSync(process.execPath, 'r');
        const list = { triples: Float64Array.of(region.id, 0, 4096), count: 1 };
        let moved = 0;
        let left = 2000;
        const owner = { ioCompleted(result) { moved += result; if (--left >= 16) engine.read(fd, left * 4096, 4096, list, 0, 0, owner); } };
        for (let i = 0; i < 16; i++) engine.read(fd, i * 4096, 4096, list, 0, 0, owner);
        await engine.drain();
        engine.close();
        parentPort.postMessage(moved);`,
        mode,
      ),
    );
    const moved = await Promise.all(workers.map((worker) => message<number>(worker)));
    t.deepEqual(moved, new Array(4).fill(2000 * 4096));
    await Promise.all(workers.map((worker) => worker.terminate()));
  });

  test.serial(`${mode}: a worker that ends in the middle of everything leaves nothing`, async (t) => {
    const before = openDescriptors().length;
    for (let i = 0; i < 5; i++) {
      const worker = start(
        `
        const { addon } = await import(${ADDON});
        const { IoEngine } = await import(${ENGINE});
        const { RegionMemory } = await import(${MEMORY});
        const fs = require('node:fs');
        const memory = new RegionMemory();
        const region = memory.mapAnonymous(64 << 20);
        const engine = new IoEngine({ mode: workerData, threads: 2 });
        const path = require('node:path').join(require('node:os').tmpdir(), 'lunport-worker-' + process.pid);
        const fd = fs.openSync(path, 'w+');
        fs.unlinkSync(path);
        const list = { triples: Float64Array.of(region.id, 0, 64 << 20), count: 1 };
        for (let i = 0; i < 8; i++) engine.write(fd, 0, 64 << 20, list, 0, 1, { ioCompleted() {} });
        engine.run();
        const one = addon.eventfd();
        addon.pollEventfd(one, () => {});
        addon.signal(one);
        parentPort.postMessage({ fd, one });
        setInterval(() => {}, 1000);`,
        mode,
      );
      const { fd, one } = await message<{ fd: number; one: number }>(worker);
      await worker.terminate();
      // Descriptors are the process's; those that JavaScript opened are its to close.
      addon.close(one);
      addon.close(fd);
    }
    t.is(threads('lunport-io'), 0);
    t.true(
      openDescriptors().length <= before + 2,
      `${before} descriptors before, ${openDescriptors().length} after`,
    );
  });
}

test.serial(
  "two workers beside the main thread: one that ends takes its own mappings and rings, nobody else's",
  async (t) => {
    const [mode] = USABLE_MODES;
    const mine = new IoEngine({ mode });
    t.teardown(() => mine.close());
    const before = { rings: rings(), maps: mappings('lunport-unload') };
    const workers = ['lunport-unload-a', 'lunport-unload-b'].map((name) =>
      start(
        `
      const { addon } = await import(${ADDON});
      const { IoEngine } = await import(${ENGINE});
      const fd = addon.memfd(workerData, 1 << 20);
      addon.mapRegion(fd, 0, 1 << 20, false);
      addon.close(fd);
      new IoEngine({ mode: ${JSON.stringify(mode)} });
      parentPort.postMessage('ready');
      setInterval(() => {}, 1000);`,
        name,
      ),
    );
    await Promise.all(workers.map((worker) => message(worker)));
    const withBoth = rings();
    t.deepEqual([mappings('lunport-unload-a'), mappings('lunport-unload-b')], [1, 1]);
    await workers[0].terminate();
    t.deepEqual([mappings('lunport-unload-a'), mappings('lunport-unload-b')], [0, 1]);
    if (mode === 'io_uring') t.is(rings(), withBoth - 1);
    await workers[1].terminate();
    t.deepEqual({ rings: rings(), maps: mappings('lunport-unload') }, before);
    const results: number[] = [];
    mine.fsync(-1, { ioCompleted: (result) => void results.push(result) });
    await mine.drain();
    t.deepEqual(results, [Errno.EBADF]);
  },
);

test.serial('a worker that alone had loaded the addon leaves a working SIGBUS handler', (t) => {
  // The worker's end closes the library; the handler must survive that.
  const script = `
    import { Worker } from 'node:worker_threads';
    const worker = new Worker(\`(async () => {
      const { addon } = await import(${ADDON.replaceAll('"', '\\"')});
      addon.mapRegion(addon.memfd('x', 4096), 0, 4096, false);
    })()\`, { eval: true });
    worker.once('exit', () => {
      process.kill(process.pid, 'SIGBUS');
      setTimeout(() => {}, 10000);
    });`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  t.is(child.signal, 'SIGBUS', child.stderr);
});

test.serial('faults in two threads at once are survived by both', async (t) => {
  const source = `
    const { addon } = await import(${ADDON});
    const fs = require('node:fs');
    const path = '/dev/shm/lunport-fault-' + process.pid + '-' + workerData;
    const fd = fs.openSync(path, 'w+');
    fs.unlinkSync(path);
    let broken = 0;
    for (let i = 0; i < 200; i++) {
      fs.ftruncateSync(fd, 8192);
      const region = addon.mapRegion(fd, 0, 8192, false);
      const bytes = new Uint8Array(addon.regionWindows(region)[0]);
      bytes.fill(1);
      fs.ftruncateSync(fd, 0);
      if (bytes[4096] === 0 && addon.regionBroken(region)) broken++;
      addon.unmapRegion(region);
    }
    fs.closeSync(fd);
    parentPort.postMessage(broken);`;
  const before = new Uint32Array(addon.faultCounter)[0];
  const workers = [start(source, 0), start(source, 1)];
  const exits = workers.map(exit);
  t.deepEqual(await Promise.all(workers.map((worker) => message<number>(worker))), [200, 200]);
  await Promise.all(exits);
  t.is(new Uint32Array(addon.faultCounter)[0], before + 400, 'one counter for the process');
});

const ENDLESS: [what: string, step: string][] = [
  ['system calls on threads of their own', 'await addon.detached(2, fd, 0)'],
  ['copies by the kernel', 'await addon.copyFileRange(fd, 0, fd, 4096, 16)'],
  [
    'operations of the io engine',
    'await new Promise((ioCompleted) => engine.read(fd, 0, 4096, list, 0, 0, { ioCompleted }))',
  ],
];
for (const [what, step] of ENDLESS) {
  test.serial(`a worker may end while ${what} do`, async (t) => {
    const source = `
      const { addon } = await import(${ADDON});
      const { IoEngine } = await import(${ENGINE});
      const { RegionMemory } = await import(${MEMORY});
      const fd = addon.memfd('ends', 8192);
      const engine = new IoEngine();
      const region = new RegionMemory().mapAnonymous(4096);
      const list = { triples: Float64Array.of(region.id, 0, 4096), count: 1 };
      parentPort.postMessage(fd);
      const again = async () => { for (;;) ${step}; };
      for (let i = 0; i < 40; i++) void again();`;
    // It is a matter of chance in which moment each of them ends.
    for (let i = 0; i < 30; i++) {
      const worker = start(source);
      const fd = await message<number>(worker);
      await delay(i);
      t.is(await worker.terminate(), 1);
      addon.close(fd);
    }
  });
}
