/**
 * `make bench`: lunport beside the machine's limit and its peers, measured one after the other in one run. By
 * default a quick table. In the environment:
 *
 *   BENCH_FULL=1       all patterns, depths and queue counts, and O_DIRECT
 *   BENCH_DISKS=a,b    only these disks: null, ram, file, direct
 *   BENCH_FILE=PATH    the file behind the file disks; it is overwritten. Default: a temporary one
 *   BENCH_INDIRECT=1   one indirect table per request, as Linux makes them, not three descriptors in the ring
 *   BENCH_SVG=PATH     writes a picture
 *   BENCH_JSON=PATH    writes all results for machines
 *
 * Depth is the number of requests in flight in each queue.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { packageRoot } from '../qemu/package-root.ts';
import { picture } from './picture.ts';
import { makePlan } from './plan.ts';
import { type Cell, count, table } from './report.ts';
import { measureTarget } from './run.ts';
import { lunportTargets, responderTargets, storageDaemonTargets } from './targets.ts';

const { env } = process;
const SPIN = ['--poll-us', '50'];
const plan = makePlan(env);
const targets = [
  ...lunportTargets(plan.disks),
  ...lunportTargets(plan.disks, packageRoot(), 'lunport --poll-us', SPIN),
  ...responderTargets(plan.disks),
  ...storageDaemonTargets(plan.disks, plan.maxQueues),
].filter(({ disk }) => plan.kinds.includes(disk));

if (cpus().length < 2) console.log('Only one core: the generator and the target take turns on it.');
const cells: Cell[] = [];
let troubles = 0;
for (const kind of plan.kinds) {
  for (const target of targets.filter(({ disk }) => disk === kind)) {
    const installed = await measureTarget(target, plan, report).catch((error: Error) => {
      troubles++;
      console.log(`\n${target.name}, ${kind}: ${error.message}`);
      return true;
    });
    if (!installed) console.log(`\n${target.name}: not installed, left out`);
  }
  if (process.stderr.isTTY) process.stderr.write('\r');
  console.log(table(cells.filter(({ disk }) => disk === kind)));
}
if (env['BENCH_SVG']) writeFileSync(env['BENCH_SVG'], picture(cells));
if (env['BENCH_JSON']) writeFileSync(env['BENCH_JSON'], `${JSON.stringify(cells, null, 2)}\n`);

const broken = cells.filter(({ result }) => result.failed + result.lost > 0).length;
const best = Math.max(
  0,
  ...cells.filter(({ target }) => target.startsWith('lunport')).map(({ result }) => result.iops),
);
console.log(
  `\nbench: ${cells.length} measurements, lunport's best ${count(best)} IOPS, ${broken + troubles} failed`,
);
process.exitCode = broken + troubles > 0 ? 1 : 0;

function report(cell: Cell): void {
  cells.push(cell);
  if (process.stderr.isTTY) process.stderr.write(`\r${cells.length}/${targets.length * plan.works.length} `);
}
