/** Nothing is allocated per READ or WRITE on the way from the guest's ring to the backstore and back. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import type { InProcessResult } from '../../../bench/in-process.ts';
import { packageRoot } from '../../../qemu/package-root.ts';
import { openBurstLoad } from '../../support/burst-load.ts';
import { startServe } from '../../support/serve-process.ts';

const run = promisify(execFile);
const MEBIBYTE = 1 << 20;

/**
 * Event loop turns allocate some hundred bytes each, shared by the requests of a batch: 5 to 10 bytes per request. The
 * smallest object has 12 (a boxed number), so one per request would show as 17 bytes at least.
 */
const MAX_BYTES_PER_REQUEST = 15;
const REQUESTS = 100_000;
const ATTEMPTS = 3;

for (const [disk, kind] of [
  ['ram:16M', 'scsi'],
  ['null:16M', 'scsi'],
  ['ram:16M', 'blk'],
  // Offsets above 2^31 are boxed wherever they are handed over in the wrong way.
  ['null:8G', 'blk'],
] as const) {
  test(`${REQUESTS} requests to ${disk} over virtio-${kind} in one process do not grow the heap`, async (t) => {
    t.timeout(120_000);
    const script = join(packageRoot(), 'dist', 'bench', 'in-process.js');
    let least = Number.POSITIVE_INFINITY;
    // Where the machine is busy V8 compiles late, and what it has not compiled allocates.
    for (let attempt = 0; attempt < ATTEMPTS && least >= MAX_BYTES_PER_REQUEST; attempt++) {
      const { stdout } = await run(process.execPath, [
        '--expose-gc',
        '--min-semi-space-size=64',
        script,
        disk,
        String(REQUESTS),
        kind,
      ]);
      const { bytesPerRequest, failed } = JSON.parse(stdout) as InProcessResult;
      t.is(failed, 0);
      least = Math.min(least, bytesPerRequest);
    }
    t.true(least < MAX_BYTES_PER_REQUEST, `${least.toFixed(1)} bytes per request`);
  });
}

/** MiB. The young generation of the traced process: a scavenge means that this much was allocated. */
const SEMI_SPACE = 16;
const TRACED_REQUESTS = 1_000_000;

test('a million requests cause no garbage collection', async (t) => {
  t.timeout(120_000);
  const server = await startServe(['ram:64M'], {
    nodeArguments: ['--trace-gc', `--min-semi-space-size=${SEMI_SPACE}`],
  });
  const load = await openBurstLoad(server.socket, 64 * MEBIBYTE, 128);
  // "(reduce)" is V8 giving memory back some time after a start; nothing that was allocated asks for it.
  const collections = () =>
    server.otherLines.filter((line) => /Scavenge|Mark-Compact (?!\(reduce\))/.test(line)).length;
  await load.drive(TRACED_REQUESTS / 5);
  const before = collections();
  await load.drive(TRACED_REQUESTS);
  const during = collections() - before;
  await load.close();
  await server.stop();
  // An object of 16 bytes per request would fill the young generation.
  t.is(during, 0, server.otherLines.slice(before).join('\n'));
});
