/** Runs measurements: a target process, and one generator process per cell. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../qemu/package-root.ts';
import type { MeasurementRequest, MeasurementResult } from './measurement.ts';
import type { Pattern } from './pattern.ts';
import type { Cell } from './report.ts';
import { GENERATOR_CORE, onCore, startTarget, type Target } from './targets.ts';

const run = promisify(execFile);

export interface Work {
  readonly pattern: Pattern;
  readonly queues: number;
  readonly depth: number;
}

export interface Timing {
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** Measures all of `works` on one target; calls back per cell. Nothing when the target is not installed. */
export async function measureTarget(
  target: Target,
  works: readonly Work[],
  diskBytes: number,
  timing: Timing,
  folder: string,
  onCell: (cell: Cell) => void,
): Promise<void> {
  const socket = join(folder, 'target.sock');
  const running = await startTarget(target, socket);
  if (running === undefined) return;
  try {
    for (const work of works) {
      const result = await generate({
        socket,
        device: target.device,
        ...work,
        diskBytes,
        ...timing,
        targetPid: running.pid,
      });
      onCell({
        target: target.name,
        disk: target.disk,
        pattern: work.pattern.name,
        queues: work.queues,
        depth: work.depth,
        result,
      });
    }
  } finally {
    await running.stop();
  }
}

async function generate(request: MeasurementRequest): Promise<MeasurementResult> {
  const generator = join(packageRoot(), 'dist', 'bench', 'generator.js');
  const [program, ...args] = onCore(GENERATOR_CORE, [process.execPath, generator, JSON.stringify(request)]);
  const { stdout } = await run(program, args, {
    timeout: 1000 * (request.seconds + request.warmUpSeconds + 60),
  });
  return JSON.parse(stdout) as MeasurementResult;
}
