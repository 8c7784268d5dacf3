/** A bound on the CPU time of one request that noise cannot trip: it is counted in steps of a calibration loop. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import type { InProcessResult } from '../../bench/in-process.ts';
import { packageRoot } from '../../qemu/package-root.ts';

const run = promisify(execFile);

/**
 * 105 to 108 on a good day, driver and target together; up to 193 of the same build while neighbours of the virtual
 * machine use the caches, which the calibration loop does not need. So much more is a mistake and not the weather.
 */
const MAX_LOOPS = 300;

test('a READ or WRITE of a null disk stays as cheap as it was', async (t) => {
  t.timeout(60_000);
  const script = join(packageRoot(), 'dist', 'bench', 'in-process.js');
  const { stdout } = await run(process.execPath, [script, 'null:16M', '500000']);
  const { loops, failed } = JSON.parse(stdout) as InProcessResult;
  t.is(failed, 0);
  t.true(loops < MAX_LOOPS, `${loops.toFixed(0)} steps of the calibration loop per request`);
});
