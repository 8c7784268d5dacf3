/**
 * `make bench`: lunport beside the machine's limit and its peers, measured one after the other in one run. By
 * default a quick table. In the environment:
 *
 *   BENCH_FULL=1       all patterns, depths and queue counts, and O_DIRECT
 *   BENCH_DISKS=a,b    only these disks: null, ram, file, direct
 *   BENCH_FILE=PATH    the file behind the file disks; it is overwritten. Default: a temporary one
 *   BENCH_SVG=PATH     writes a picture
 *   BENCH_JSON=PATH    writes all results for machines
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { atProcessEnd } from '../qemu/process-end.ts';
import { PATTERNS } from './pattern.ts';
import { picture } from './picture.ts';
import { type Cell, count, table } from './report.ts';
import { measureTarget, type Work } from './run.ts';
import {
  DISK_KINDS,
  type DiskKind,
  lunportTargets,
  responderTargets,
  storageDaemonTargets,
  type Target,
} from './targets.ts';

const MEBIBYTE = 1 << 20;
const DISK_BYTES = 1024 * MEBIBYTE;

const QUICK = {
  patterns: ['4k randread', '4k randwrite', '128k read'],
  depths: [1, 32],
  queues: [1],
  disks: ['null', 'ram', 'file'],
  timing: { warmUpSeconds: 0.4, seconds: 1 },
};
const FULL = {
  patterns: PATTERNS.map(({ name }) => name),
  depths: [1, 8, 32, 128],
  queues: [1, 4],
  disks: [...DISK_KINDS],
  timing: { warmUpSeconds: 0.5, seconds: 3 },
};

const { env } = process;
const plan = env['BENCH_FULL'] ? FULL : QUICK;
const wanted = (env['BENCH_DISKS']?.split(',') ?? plan.disks) as DiskKind[];

const folder = mkdtempSync(join(tmpdir(), 'lunport-bench-'));
atProcessEnd(() => rmSync(folder, { recursive: true, force: true }));
const disks = { file: env['BENCH_FILE'] ?? join(folder, 'disk.img'), bytes: DISK_BYTES };
if (wanted.includes('file') || wanted.includes('direct')) fill(disks.file, DISK_BYTES);

const works: Work[] = plan.queues.flatMap((queues) =>
  plan.depths.flatMap((depth) =>
    PATTERNS.filter(({ name }) => plan.patterns.includes(name)).map((pattern) => ({
      pattern,
      queues,
      depth,
    })),
  ),
);
const targets: Target[] = [
  ...lunportTargets(disks),
  ...responderTargets(disks),
  ...storageDaemonTargets(disks, Math.max(...plan.queues)),
].filter(({ disk }) => wanted.includes(disk));

if (cpus().length < 2) console.log('Only one core: the generator and the target take turns on it.');
const cells: Cell[] = [];
const skipped = new Set<string>();
for (const target of targets) {
  const before = cells.length;
  await measureTarget(target, works, DISK_BYTES, plan.timing, folder, (cell) => {
    cells.push(cell);
    if (process.stderr.isTTY) process.stderr.write(`\r${cells.length}/${targets.length * works.length} `);
  });
  if (cells.length === before) skipped.add(target.name);
}
if (process.stderr.isTTY) process.stderr.write('\r');

console.log(table(cells));
for (const name of skipped) console.log(`\n${name}: not installed, left out`);
if (env['BENCH_SVG']) writeFileSync(env['BENCH_SVG'], picture(cells));
if (env['BENCH_JSON']) writeFileSync(env['BENCH_JSON'], `${JSON.stringify(cells, null, 2)}\n`);

const broken = cells.filter(({ result }) => result.failed + result.lost > 0).length;
const best = Math.max(...cells.filter(({ target }) => target === 'lunport').map(({ result }) => result.iops));
console.log(
  `\nbench: ${cells.length} measurements, lunport's best ${count(best)} IOPS, ${broken} with failed requests`,
);
process.exitCode = broken > 0 ? 1 : 0;

/** Data, not a hole: a hole would be read without touching the disk's blocks. */
function fill(path: string, bytes: number): void {
  const block = Buffer.alloc(MEBIBYTE, 0xa5);
  const fd = openSync(path, 'w');
  for (let written = 0; written < bytes; written += block.length) writeSync(fd, block);
  closeSync(fd);
}
