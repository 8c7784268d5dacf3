/** What a run measures, from the environment: see main.ts for the variables. */
import { join } from 'node:path';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { fill } from './fill.ts';
import { PATTERNS } from './pattern.ts';
import type { Timing, Work } from './run.ts';
import { DISK_KINDS, type DiskKind, type Disks } from './targets.ts';

const MEBIBYTE = 1 << 20;
const DISK_BYTES = 1024 * MEBIBYTE;

export interface Plan {
  readonly works: readonly Work[];
  readonly kinds: readonly DiskKind[];
  readonly disks: Disks;
  readonly timing: Timing;
  /** Turns of each target at each work. */
  readonly rounds: number;
  /** Indirect descriptor tables, as Linux uses them; default: three descriptors in the ring. */
  readonly indirect: boolean;
  /** Most request queues of any work. */
  readonly maxQueues: number;
  /** For sockets; removed at the end of the process. */
  readonly folder: string;
}

interface Extent {
  readonly sweeps: readonly Sweep[];
  readonly kinds: readonly DiskKind[];
  readonly timing: Timing;
  readonly rounds: number;
}

/** All combinations of these. */
interface Sweep {
  readonly patterns: readonly string[];
  readonly depths: readonly number[];
  readonly queues: readonly number[];
}

const QUICK: Extent = {
  sweeps: [{ patterns: ['4k randread', '4k randwrite', '128k read'], depths: [1, 32], queues: [1] }],
  kinds: ['null', 'ram', 'file'],
  timing: { warmUpSeconds: 0.1, seconds: 0.3 },
  rounds: 3,
};
/** What docs/performance.md shows. */
const PAGE: Extent = {
  sweeps: [
    { patterns: ['4k randread', '4k randwrite'], depths: [1, 32, 128], queues: [1] },
    { patterns: ['128k read', '128k write'], depths: [1, 32], queues: [1] },
    { patterns: ['4k randread', '4k randwrite'], depths: [32], queues: [4] },
  ],
  kinds: DISK_KINDS,
  timing: { warmUpSeconds: 0.1, seconds: 0.5 },
  rounds: 5,
};
const FULL: Extent = {
  sweeps: [{ patterns: PATTERNS.map(({ name }) => name), depths: [1, 8, 32, 128], queues: [1, 4] }],
  kinds: DISK_KINDS,
  timing: { warmUpSeconds: 0.1, seconds: 0.2 },
  rounds: 3,
};

/** Also writes the file that the file disks serve. */
export function makePlan(env: NodeJS.ProcessEnv, usual: 'full' | 'quick'): Plan {
  const extent = env['BENCH_PAGE'] ? PAGE : env['BENCH_QUICK'] || usual === 'quick' ? QUICK : FULL;
  const kinds = chosenKinds(env['BENCH_DISKS'], extent.kinds);
  const folder = temporaryFolder().path;
  const disks = { file: env['BENCH_FILE'] ?? join(folder, 'disk.img'), bytes: DISK_BYTES };
  if (kinds.includes('file') || kinds.includes('direct')) fill(disks.file, DISK_BYTES);
  const works = chosenWorks(env['BENCH_WORKS']) ?? extent.sweeps.flatMap(worksOf);
  return {
    works,
    kinds,
    disks,
    timing: { ...extent.timing, seconds: positive(env, 'BENCH_SECONDS') ?? extent.timing.seconds },
    rounds: rounds(env) ?? extent.rounds,
    indirect: Boolean(env['BENCH_INDIRECT']),
    maxQueues: Math.max(...works.map(({ queues }) => queues)),
    folder,
  };
}

function worksOf({ patterns, depths, queues: queueCounts }: Sweep): Work[] {
  const chosen = PATTERNS.filter(({ name }) => patterns.includes(name));
  return queueCounts.flatMap((queues) =>
    depths.flatMap((depth) => chosen.map((pattern) => ({ pattern, queues, depth }))),
  );
}

/** `pattern:depth` or `pattern:depth:queues`, with commas in between. */
function chosenWorks(list: string | undefined): Work[] | undefined {
  return list?.split(',').map((text) => {
    const [name, ...numbers] = text.split(':');
    const pattern = PATTERNS.find((each) => each.name === name);
    const [depth, queues = 1] = numbers.map(Number);
    if (pattern !== undefined && numbers.length <= 2 && isCount(depth) && isCount(queues)) {
      return { pattern, depth, queues };
    }
    const names = PATTERNS.map((each) => each.name).join();
    throw new Error(
      `BENCH_WORKS: expected PATTERN:DEPTH[:QUEUES] with one of ${names} but received "${text}"`,
    );
  });
}

function rounds(env: NodeJS.ProcessEnv): number | undefined {
  const value = positive(env, 'BENCH_ROUNDS');
  if (value === undefined || isCount(value)) return value;
  throw new RangeError(`BENCH_ROUNDS: expected a whole number but received "${value}"`);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

function positive(env: NodeJS.ProcessEnv, name: string): number | undefined {
  const text = env[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (value > 0) return value;
  throw new RangeError(`${name}: expected a number above 0 but received "${text}"`);
}

function chosenKinds(list: string | undefined, otherwise: readonly DiskKind[]): readonly DiskKind[] {
  if (list === undefined) return otherwise;
  return list.split(',').map((name) => {
    const kind = DISK_KINDS.find((each) => each === name);
    if (kind === undefined) {
      throw new Error(`BENCH_DISKS: expected some of ${DISK_KINDS.join()} but received "${name}"`);
    }
    return kind;
  });
}
