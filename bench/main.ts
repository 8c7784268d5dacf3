/**
 * `make bench`: lunport beside the machine's limit and its peers. For each disk, all targets take turns at each
 * work, several times; each figure is the median. By default all patterns, depths, queue counts and disks, in
 * twenty minutes. In the environment:
 *
 *   BENCH_QUICK=1         a few of them, without O_DIRECT: three minutes
 *   BENCH_PAGE=1          what docs/performance.md shows: a quarter of an hour, with SPDK more than twenty minutes
 *   BENCH_DISKS=a,b       only these disks: null, ram, file, direct
 *   BENCH_WORKS=a:D,b:D:Q only these patterns, at depth D, with Q queues: '4k randread:32,128k write:1:4'
 *   BENCH_TARGETS=REGEXP  only targets whose name it matches: '^lunport|SPDK'
 *   BENCH_ROUNDS=N        turns of each target at each work. Default: 3, with BENCH_PAGE 5
 *   BENCH_SECONDS=S       length of a turn. Default: 0.2 in the whole table, quick 0.3, page 0.5
 *   BENCH_FILE=PATH       the file behind the file disks; it is overwritten. Default: a temporary one
 *   BENCH_INDIRECT=1      one indirect table per request, as Linux makes them, not three descriptors in the ring
 *   BENCH_SVG=PATH        the picture. Default: dist/bench/bench.svg
 *   BENCH_JSON=PATH       writes all results for machines, with the least and the most of each figure
 *   BENCH_MARKDOWN=PATH   writes the tables of docs/performance.md
 *   BENCH_SPDK=COMMAND, BENCH_SPDK_BUFFERED=COMMAND   SPDK's vhost target as a peer: see spdk.ts
 *
 * Depth is the number of requests in flight in each queue.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../qemu/package-root.ts';
import { markdown } from './markdown.ts';
import { picture } from './picture.ts';
import { makePlan } from './plan.ts';
import { type Cell, count, table } from './report.ts';
import { measureTargets, type Observer } from './run.ts';
import { spdkTargets } from './spdk.ts';
import { lunportTargets, responderTargets, storageDaemonTargets } from './targets.ts';

const { env } = process;
const SPIN = ['--poll-us', '50'];
const plan = makePlan(env, 'full');
const chosen = new RegExp(env['BENCH_TARGETS'] ?? '');
const targets = [
  ...lunportTargets(plan.disks),
  ...lunportTargets(plan.disks, packageRoot(), 'lunport --poll-us', SPIN),
  ...responderTargets(plan.disks),
  ...spdkTargets(plan.disks, env),
  ...storageDaemonTargets(plan.disks, plan.maxQueues),
].filter(({ name, disk }) => plan.kinds.includes(disk) && chosen.test(name));

if (cpus().length < 2) console.log('Only one core: the generator and the target take turns on it.');
const cells: Cell[] = [];
let troubles = 0;
const observer: Observer = {
  measured(cell) {
    cells.push(cell);
    if (process.stderr.isTTY)
      process.stderr.write(`\r${cells.length}/${targets.length * plan.works.length} `);
  },
  missing: ({ name }) => console.log(`\n${name}: not installed, left out`),
  failed({ name, disk }, error) {
    troubles++;
    console.log(`\n${name}, ${disk}: ${error.message}`);
  },
};
for (const kind of plan.kinds) {
  await measureTargets(
    targets.filter(({ disk }) => disk === kind),
    plan,
    observer,
  );
  if (process.stderr.isTTY) process.stderr.write('\r');
  console.log(table(cells.filter(({ disk }) => disk === kind)));
}
const svg = env['BENCH_SVG'] ?? join(packageRoot(), 'dist', 'bench', 'bench.svg');
writeFileSync(svg, picture(cells));
console.log(`\npicture: ${svg}`);
if (env['BENCH_JSON']) writeFileSync(env['BENCH_JSON'], `${JSON.stringify(cells, null, 2)}\n`);
if (env['BENCH_MARKDOWN']) writeFileSync(env['BENCH_MARKDOWN'], markdown(cells));

const broken = cells.filter(({ result }) => result.failed + result.lost > 0).length;
const best = Math.max(
  0,
  ...cells.filter(({ target }) => target.startsWith('lunport')).map(({ result }) => result.iops),
);
console.log(
  `\nbench: ${cells.length} cells of ${plan.rounds} turns, lunport's best ${count(best)} IOPS, ${broken + troubles} failed`,
);
process.exitCode = broken + troubles > 0 ? 1 : 0;
