/**
 * `make bench-compare BASE=<git ref>`: this checkout against another commit, built beside it. The two take turns,
 * so that what else the machine does hits both; the answer is the median of the ratios. The variables of
 * main.ts hold here too, and BENCH_ROUNDS=N (default 5).
 *
 * The other commit uses this checkout's node_modules.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { packageRoot } from '../qemu/package-root.ts';
import { atProcessEnd } from '../qemu/process-end.ts';
import { makePlan, type Plan } from './plan.ts';
import { type Cell, groups } from './report.ts';
import { measureTarget } from './run.ts';
import { lunportTargets } from './targets.ts';

const BASE = 'base';
const HEAD = 'head';

const reference = process.env['BASE'];
if (!reference) {
  console.error('bench-compare: say with what: make bench-compare BASE=<git ref>');
  process.exit(2);
}
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 5);
const plan = makePlan(process.env);
const root = packageRoot();
const base = buildBase(reference, join(plan.folder, BASE));
const ratios = await compare(plan, rounds, [
  { name: BASE, root: base },
  { name: HEAD, root },
]);
console.log(['', ''.padEnd(40) + 'IOPS'.padStart(8) + 'CPU/IO'.padStart(8)].join('\n'));
for (const [heading, { iops, cpu }] of ratios) {
  console.log(heading.padEnd(40) + median(iops).toFixed(2).padStart(8) + median(cpu).toFixed(2).padStart(8));
}
const overall = median([...ratios.values()].map(({ iops }) => median(iops)));
console.log(
  `\nbench: ${HEAD} reaches ${overall.toFixed(2)} times the IOPS of ${reference}, median of ${ratios.size}`,
);

interface Ratios {
  /** head / base, one per round. */
  readonly iops: number[];
  readonly cpu: number[];
}

async function compare(
  work: Plan,
  roundCount: number,
  builds: readonly { name: string; root: string }[],
): Promise<Map<string, Ratios>> {
  const result = new Map<string, Ratios>();
  for (let round = 0; round < roundCount; round++) {
    for (const kind of work.kinds) {
      const cells: Cell[] = [];
      // Every other round the other one goes first: a machine that warms up favours neither.
      for (const build of round % 2 === 0 ? builds : builds.toReversed()) {
        const target = lunportTargets(work.disks, build.root, build.name).find(({ disk }) => disk === kind)!;
        await measureTarget(target, work, (cell) => cells.push(cell));
      }
      for (const [heading, group] of groups(cells)) {
        const [before, after] = [BASE, HEAD].map(
          (name) => group.find(({ target }) => target === name)!.result,
        );
        const ratio = result.get(heading) ?? { iops: [], cpu: [] };
        ratio.iops.push(after.iops / before.iops);
        ratio.cpu.push(after.targetCpu / before.targetCpu);
        result.set(heading, ratio);
      }
    }
  }
  return result;
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

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
