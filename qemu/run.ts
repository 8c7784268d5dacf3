import { Guest, type GuestOptions } from './guest.ts';

export interface RunOptions extends GuestOptions {
  /** A shell script. */
  readonly job: string;
  /** Its output as it comes. */
  readonly onOutput?: (text: string) => void;
  /** For boot and job each. Default: 120 s. */
  readonly timeoutMs?: number;
}

export interface RunResult {
  /** The job's exit status. */
  readonly exitCode: number;
  /** The job's standard output and standard error. */
  readonly output: string;
  /** From power-on to power-off. */
  readonly seconds: number;
  /** From power-on to the job's start. */
  readonly bootSeconds: number;
  /** The first serial port. */
  readonly console: string;
}

/**
 * Boots a guest, runs one job, powers off.
 *
 * @throws GuestError when there is no exit status to report: no boot, a crash, a timeout
 * @example
 * const { exitCode, output } = await runGuest({
 *   vehicle: 'initrd',
 *   initrd: { tools: ['sg_inq'] },
 *   vhostUserScsi: [{ socket: '/run/me/disk.sock' }],
 *   job: 'sg_inq /dev/sg0',
 * });
 */
export async function runGuest(options: RunOptions): Promise<RunResult> {
  const { job, onOutput, timeoutMs } = options;
  const started = performance.now();
  const guest = await Guest.start({ bootTimeoutMs: timeoutMs, ...options });
  try {
    // Building a guest for the first time is not booting it.
    const built = (performance.now() - started) / 1000 - guest.bootSeconds;
    const { status, output } = await guest.exec(job, { onOutput, timeoutMs });
    await guest.powerOff();
    const seconds = (performance.now() - started) / 1000 - built;
    return { exitCode: status, output, seconds, bootSeconds: guest.bootSeconds, console: guest.console };
  } finally {
    await guest.close();
  }
}
