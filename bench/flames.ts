/**
 * `make flamegraph`: where the CPU time of the data path goes, as a picture. Serves a disk, loads it for some seconds, and
 * draws V8's CPU profile of that time. Arguments are handed to `serve`: `make flamegraph ARGS='--poll-us 50'`. In the
 * environment:
 *
 *   BENCH_DISKS=KIND   null, ram, file or direct. Default: ram
 *   BENCH_DEPTH=N      requests in flight. Default: 32
 *   BENCH_SVG=PATH     the picture. Default: dist/bench/flames.svg
 *
 * Functions that V8 compiled into others are part of those. Native code is "(program)" or the function that called it;
 * `perf` sees it and the kernel: docs/performance.md.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../qemu/package-root.ts';
import { type CpuProfile, flameGraph } from './flame-graph.ts';
import { PATTERNS } from './pattern.ts';
import { makePlan } from './plan.ts';
import { openTarget } from './run.ts';
import { lunportTargets, type Target } from './targets.ts';

const { env, argv } = process;
const PATTERN = PATTERNS.find(({ name }) => name === '4k mixed 70/30')!;
const TIMING = { warmUpSeconds: 2, seconds: 5 };
/** Microseconds. */
const INTERVAL = 200;

const plan = makePlan({ ...env, BENCH_DISKS: env['BENCH_DISKS'] ?? 'ram' }, 'quick');
const [kind] = plan.kinds;
const served = lunportTargets(plan.disks, packageRoot(), 'lunport', argv.slice(2)).find(
  ({ disk }) => disk === kind,
)!;
const profiled: Target = {
  ...served,
  command(socket) {
    const [node, ...rest] = served.command(socket)!;
    return [node, '--cpu-prof', `--cpu-prof-interval=${INTERVAL}`, `--cpu-prof-dir=${plan.folder}`, ...rest];
  },
};
const target = (await openTarget(profiled, plan))!;
const depth = Number(env['BENCH_DEPTH'] ?? 32);
const result = await target.measure({ pattern: PATTERN, queues: 1, depth }, TIMING);
await target.stop();
const file = readdirSync(plan.folder).find((name) => name.endsWith('.cpuprofile'))!;
const profile = JSON.parse(readFileSync(join(plan.folder, file), 'utf8')) as CpuProfile;
const svg = env['BENCH_SVG'] ?? join(packageRoot(), 'dist', 'bench', 'flames.svg');
writeFileSync(svg, flameGraph(profile));
console.log(
  `${kind}, depth ${depth}: ${Math.round(result.iops)} IOPS, ${result.targetCpu.toFixed(2)} µs CPU per request\npicture: ${svg}`,
);
