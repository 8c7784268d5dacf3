/**
 * `make bench-compare BASE=<git ref>`: this checkout against another commit, built beside it. Both run at the same
 * time, one of them idle, and take turns every second, so that what else the machine does hits both; the answer is
 * the median of the ratios. The variables of main.ts hold here too, and BENCH_ROUNDS=N (default 5).
 *
 * The other commit uses this checkout's node_modules.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { packageRoot } from '../qemu/package-root.ts';
import { atProcessEnd } from '../qemu/process-end.ts';
import type { MeasurementResult } from './measurement.ts';
import { median } from './median.ts';
import { makePlan } from './plan.ts';
import { headingOf } from './report.ts';
import { inTurn, type OpenTarget, openTarget, type Work } from './run.ts';
import { type DiskKind, lunportTargets } from './targets.ts';

const BASE = 'base';
const HEAD = 'head';
const ROUNDS = 5;
/** One turn of a build. */
const TURN = { warmUpSeconds: 0.3, seconds: 0.7 };

const reference = process.env['BASE'];
if (!reference) {
  console.error('bench-compare: say with what: make bench-compare BASE=<git ref>');
  process.exit(2);
}
const plan = makePlan(
  { ...process.env, BENCH_ROUNDS: process.env['BENCH_ROUNDS'] ?? String(ROUNDS) },
  'quick',
);
const root = packageRoot();
const base = buildBase(reference, join(plan.folder, BASE));
const comparison = await compare([
  { name: BASE, root: base },
  { name: HEAD, root },
]);
console.log(['', ''.padEnd(40) + 'IOPS'.padStart(8) + 'CPU/IO'.padStart(8)].join('\n'));
for (const [heading, { iops, cpu }] of comparison) {
  console.log(heading.padEnd(40) + median(iops).toFixed(2).padStart(8) + median(cpu).toFixed(2).padStart(8));
}
const overall = median([...comparison.values()].map(({ iops }) => median(iops)));
console.log(
  `\nbench: ${HEAD} reaches ${overall.toFixed(2)} times the IOPS of ${reference}, median of ${comparison.size}`,
);

interface Ratios {
  /** head / base, one per round. */
  readonly iops: number[];
  readonly cpu: number[];
}

interface Build {
  readonly name: string;
  readonly open: OpenTarget;
}

async function compare(builds: readonly { name: string; root: string }[]): Promise<Map<string, Ratios>> {
  const result = new Map<string, Ratios>();
  for (const kind of plan.kinds) {
    const targets: Build[] = [];
    try {
      for (const build of builds) {
        const target = lunportTargets(plan.disks, build.root, build.name).find(({ disk }) => disk === kind)!;
        targets.push({ name: build.name, open: (await openTarget(target, plan))! });
      }
      for (const work of plan.works) await compareWork(kind, work, targets, result);
    } finally {
      for (const { open } of targets) await open.stop();
    }
  }
  return result;
}

async function compareWork(
  kind: DiskKind,
  work: Work,
  targets: readonly Build[],
  result: Map<string, Ratios>,
): Promise<void> {
  const ratios: Ratios = { iops: [], cpu: [] };
  for (let round = 0; round < plan.rounds; round++) {
    const results = new Map<string, MeasurementResult>();
    for (const { name, open } of inTurn(targets, round)) results.set(name, await open.measure(work, TURN));
    const [before, after] = [BASE, HEAD].map((name) => results.get(name)!);
    ratios.iops.push(after.iops / before.iops);
    ratios.cpu.push(after.targetCpu / before.targetCpu);
  }
  result.set(headingOf({ disk: kind, ...work, pattern: work.pattern.name }), ratios);
}

/** A worktree of `ref` in `folder`, built; returns the folder. */
function buildBase(ref: string, folder: string): string {
  step(root, 'git', 'worktree', 'add', '--detach', '--force', folder, ref);
  atProcessEnd(() => spawnSync('git', ['worktree', 'remove', '--force', folder], { cwd: root }));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const headers = resolve(process.execPath, '../..');
  const nodedir = existsSync(join(headers, 'include/node/node_api.h')) ? [`--nodedir=${headers}`] : [];
  step(folder, 'node_modules/.bin/node-gyp', 'rebuild', '-C', 'native', '--release', ...nodedir);
  step(folder, 'node_modules/.bin/tsc');
  return folder;
}

function step(cwd: string, program: string, ...args: string[]): void {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (status === 0) return;
  throw new Error(`${program} ${args.join(' ')} failed: ${error?.message ?? stdout + stderr}`);
}
