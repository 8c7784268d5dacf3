/** Runs measurements: a target process, and one generator process per turn. */
import { execFile } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../qemu/package-root.ts';
import type { MeasurementRequest, MeasurementResult } from './measurement.ts';
import { opensDirect } from './open-flags.ts';
import type { Pattern } from './pattern.ts';
import type { Plan } from './plan.ts';
import type { Cell } from './report.ts';
import { summary } from './rounds.ts';
import { type DiskKind, GENERATOR_CORE, onCore, startTarget, type Target } from './targets.ts';

const run = promisify(execFile);
/** How long a generator may take beyond its measured time. */
const PATIENCE_SECONDS = 60;

/**
 * A pass over the whole disk before anything is measured: memory that was never written costs a page fault per
 * first touch, a file may have left the page cache, and lunport's program has to be compiled, which on a slow disk
 * takes longer than a measurement.
 */
const WHOLE_DISK = { requestBytes: 1 << 17, sequential: true };
const PREPARATION: Readonly<Record<DiskKind, Pattern | undefined>> = {
  null: undefined,
  ram: { name: 'fill', ...WHOLE_DISK, readPercentage: 0 },
  file: { name: 'read', ...WHOLE_DISK, readPercentage: 100 },
  direct: { name: 'read', ...WHOLE_DISK, readPercentage: 100 },
};
/** Before a target's first turn at a work: lunport is compiled anew for what this one does and others did not. */
const FIRST_WARM_UP_SECONDS = 0.5;
const FILE_KINDS: readonly DiskKind[] = ['file', 'direct'];
/** Sockets made so far. */
let sockets = 0;
const PREPARATION_WORK = { queues: 1, depth: 8, warmUpSeconds: 0, seconds: 0 };

export interface Work {
  readonly pattern: Pattern;
  readonly queues: number;
  readonly depth: number;
}

export interface Timing {
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** A target that runs and is ready to be measured. */
export interface OpenTarget {
  measure(work: Work, timing: Timing): Promise<MeasurementResult>;
  stop(): Promise<void>;
}

/** Starts a target on a socket of its own, fills its disk and pauses it; undefined when it is not installed. */
export async function openTarget(target: Target, plan: Plan): Promise<OpenTarget | undefined> {
  const socket = join(plan.folder, `${sockets++}.sock`);
  const running = await startTarget(target, socket);
  if (running === undefined) return undefined;
  const common = {
    socket,
    device: target.device,
    indirect: plan.indirect,
    diskBytes: plan.disks.bytes,
    targetPid: running.pid,
  };
  /** Others are paused meanwhile, and what they wrote is on the disk: its write-back would disturb this one. */
  const alone = async (request: MeasurementRequest) => {
    if (FILE_KINDS.includes(target.disk)) sync(plan.disks.file);
    running.resume();
    try {
      return await generate(request);
    } finally {
      running.pause();
    }
  };
  const preparation = PREPARATION[target.disk];
  if (preparation !== undefined) {
    const requestsBefore = common.diskBytes / preparation.requestBytes;
    await alone({ ...common, ...PREPARATION_WORK, pattern: preparation, requestsBefore });
  }
  if (target.disk === 'file' && opensDirect(running.pid, plan.disks.file)) {
    await running.stop();
    throw new Error('opens its file with O_DIRECT, past the page cache');
  }
  return {
    async measure(work, timing) {
      const result = await alone({ ...common, ...work, ...timing, requestsBefore: 0 });
      if (result.iops === 0) throw new Error(`no request ended (${work.pattern.name}, depth ${work.depth})`);
      return result;
    },
    stop: () => running.stop(),
  };
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  fdatasyncSync(fd);
  closeSync(fd);
}

/** What a run tells while it goes on. */
export interface Observer {
  measured(cell: Cell): void;
  missing(target: Target): void;
  failed(target: Target, error: Error): void;
}

/**
 * Measures targets of one disk. At each work they take turns, each once in a round: what else the machine does at that
 * moment hits all of them.
 */
export async function measureTargets(
  targets: readonly Target[],
  plan: Plan,
  observer: Observer,
): Promise<void> {
  const open = new Map<Target, OpenTarget>();
  try {
    for (const target of targets) {
      await observed(target, observer, async () => {
        const opened = await openTarget(target, plan);
        if (opened === undefined) observer.missing(target);
        else open.set(target, opened);
      });
    }
    for (const work of plan.works) {
      const results = new Map<Target, MeasurementResult[]>();
      for (let round = 0; round < plan.rounds; round++) {
        const timing = round === 0 ? { ...plan.timing, warmUpSeconds: FIRST_WARM_UP_SECONDS } : plan.timing;
        for (const [target, opened] of inTurn([...open], round)) {
          await observed(target, observer, async () => {
            const result = await opened.measure(work, timing);
            results.set(target, [...(results.get(target) ?? []), result]);
          });
        }
      }
      for (const target of open.keys()) {
        const own = results.get(target);
        if (own !== undefined) observer.measured(cellOf(target, work, own));
      }
    }
  } finally {
    for (const opened of open.values()) await opened.stop();
  }
}

/** Every other round begins with the last: a machine that warms up favours none. */
export function inTurn<T>(targets: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? targets : targets.toReversed();
}

function cellOf(target: Target, work: Work, results: readonly MeasurementResult[]): Cell {
  const { pattern, queues, depth } = work;
  return {
    target: target.name,
    disk: target.disk,
    pattern: pattern.name,
    queues,
    depth,
    ...summary(results),
  };
}

async function observed(target: Target, observer: Observer, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    observer.failed(target, error as Error);
  }
}

async function generate(request: MeasurementRequest): Promise<MeasurementResult> {
  const generator = join(packageRoot(), 'dist', 'bench', 'generator.js');
  const [program, ...args] = onCore(GENERATOR_CORE, [process.execPath, generator, JSON.stringify(request)]);
  const timeout = 1000 * (request.seconds + request.warmUpSeconds + PATIENCE_SECONDS);
  const { stdout } = await run(program, args, { timeout });
  return JSON.parse(stdout) as MeasurementResult;
}
