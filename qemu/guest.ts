import { once } from 'node:events';
import { join } from 'node:path';
import { chooseAccelerator } from './accelerator.ts';
import { qemuArguments } from './command-line.ts';
import { type Progress, showProgress } from './debian-tree.ts';
import { firmwareArguments } from './firmware.ts';
import { GuestError } from './guest-error.ts';
import { ensureInitrd } from './initrd.ts';
import { JobLine, type JobResult } from './job-line.ts';
import { listen } from './listener.ts';
import type { MachineOptions } from './machine.ts';
import { type QemuExit, QemuProcess } from './qemu-process.ts';
import { Qmp } from './qmp.ts';
import { findProgram } from './run-program.ts';
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts';
import { timeLimit } from './time-limit.ts';

export interface GuestOptions extends MachineOptions {
  /** From QEMU's start to the guest's hello. Default: 120 s; 3 to 10 are usual under TCG. */
  readonly bootTimeoutMs?: number;
  /** The first serial port as it comes: boot loader and kernel. */
  readonly onConsole?: (text: string) => void;
  /** What is being built, the first time. Default: lines on standard error. */
  readonly progress?: Progress;
  /**
   * Makes this the destination of a migration: QEMU waits at this address (`unix:PATH`, or `defer`) instead
   * of booting. Start it with the source's options; once migrated, `exec` goes on where the source left off.
   */
  readonly incoming?: string;
  /** Kills the guest. */
  readonly signal?: AbortSignal;
}

export interface ExecOptions {
  /** Output as it comes. */
  readonly onOutput?: (text: string) => void;
  /** Default: 120 s. When it is over the guest is killed: nobody knows what it is doing. */
  readonly timeoutMs?: number;
}

const BOOT_TIMEOUT_MS = 120_000;
const JOB_TIMEOUT_MS = 120_000;
const POWER_OFF_TIMEOUT_MS = 30_000;

/**
 * A virtual machine under the control of a test: scripts run in it one after the other, and between them the
 * host does as it likes. Always `close()` it; it does not outlive this process in any case.
 *
 * @example
 * const guest = await Guest.start({ vehicle: 'initrd', vhostUserScsi: [{ socket }] });
 * try {
 *   const { status, output } = await guest.exec('cat /proc/partitions');
 *   await guest.reboot();
 *   await guest.powerOff();
 * } finally {
 *   await guest.close();
 * }
 */
export class Guest {
  readonly #process: QemuProcess;
  readonly #job: JobLine;
  readonly #qmp: Qmp;
  readonly #folder: TemporaryFolder;
  readonly #bootTimeoutMs: number;
  #bootSeconds = 0;

  private constructor(
    process: QemuProcess,
    job: JobLine,
    qmp: Qmp,
    folder: TemporaryFolder,
    bootTimeoutMs: number,
  ) {
    this.#process = process;
    this.#job = job;
    this.#qmp = qmp;
    this.#folder = folder;
    this.#bootTimeoutMs = bootTimeoutMs;
    void process.exited.then(() => {
      job.close(process.ended());
      qmp.close(process.ended());
    });
  }

  /**
   * Builds what is missing in the cache, starts QEMU, and resolves when the guest is ready for a job.
   *
   * @throws GuestError with the last lines of QEMU's errors and of the guest's console
   */
  static async start(options: GuestOptions): Promise<Guest> {
    options.signal?.throwIfAborted();
    const progress = options.progress ?? showProgress;
    const [program, ...firstArguments] = [options.qemu ?? 'qemu-system-x86_64'].flat();
    const qemu = [findProgram(program), ...firstArguments];
    const wanted = options.accelerator ?? 'auto';
    const { accelerator } =
      wanted === 'auto' ? await chooseAccelerator(qemu, progress) : { accelerator: wanted };
    const boot = options.vehicle === 'initrd' ? await ensureInitrd(options.initrd, progress) : null;

    const folder = temporaryFolder();
    let process: QemuProcess | undefined;
    try {
      const firmware = await firmwareArguments(options.firmware ?? 'seabios', folder.path);
      const jobSocket = await listen(join(folder.path, 'job'));
      const qmpSocket = await listen(join(folder.path, 'qmp'));
      const parts = { accelerator, firmware, boot, jobSocket: jobSocket.path, qmpSocket: qmpSocket.path };
      const started = performance.now();
      const incoming = options.incoming === undefined ? [] : ['-incoming', options.incoming];
      process = new QemuProcess([...qemu, ...qemuArguments(options, parts), ...incoming], options.onConsole);
      killWhenAborted(process, options.signal);
      const failed = process.exited.then(() => {
        jobSocket.close();
        qmpSocket.close();
        throw process!.ended();
      });
      const sockets = await Promise.race([Promise.all([jobSocket.connected, qmpSocket.connected]), failed]);
      failed.catch(() => {});
      const qmp = new Qmp(sockets[1]);
      const guest = new Guest(
        process,
        new JobLine(sockets[0]),
        qmp,
        folder,
        options.bootTimeoutMs ?? BOOT_TIMEOUT_MS,
      );
      await qmp.negotiate();
      if (options.incoming === undefined) await guest.#booted(started);
      return guest;
    } catch (error) {
      process?.kill();
      await process?.exited;
      folder.remove();
      throw error;
    }
  }

  /** From QEMU's start, or the last reset, to the guest's hello. */
  get bootSeconds(): number {
    return this.#bootSeconds;
  }

  /** QEMU's process, for measurements. */
  get pid(): number {
    return this.#process.pid!;
  }

  /** The command line, to be shown or pasted. */
  get command(): readonly string[] {
    return this.#process.command;
  }

  /** What the first serial port said so far. */
  get console(): string {
    return this.#process.console;
  }

  /** When QEMU ended, whyever. Never rejects. */
  get exited(): Promise<QemuExit> {
    return this.#process.exited;
  }

  /**
   * Runs a shell script in the guest (busybox sh, or dash in the disk vehicle). A script that fails is an
   * answer, not an error.
   *
   * @throws GuestError QEMU_ENDED when the guest went away, JOB_TIMEOUT
   */
  async exec(script: string, options: ExecOptions = {}): Promise<JobResult> {
    return await this.#limited(
      this.#job.run(script, options.onOutput),
      'JOB_TIMEOUT',
      options.timeoutMs ?? JOB_TIMEOUT_MS,
      'the job did not end',
    );
  }

  /** Writes a file into the guest. */
  async put(path: string, data: Uint8Array | string, mode = 0o644): Promise<void> {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const work = this.#job.put(path, bytes, mode);
    const { status, output } = await this.#limited(
      work,
      'JOB_TIMEOUT',
      JOB_TIMEOUT_MS,
      `${path} was not written`,
    );
    if (status !== 0)
      throw new GuestError('BAD_OPTION', `the guest cannot write ${path}`, { detail: output });
  }

  /** A clean reboot from inside the guest; resolves when it is ready again. */
  async reboot(): Promise<void> {
    await this.#restart(async () => this.#job.leave('reboot'));
  }

  /** The reset button: nothing is synced. Resolves when the guest is ready again. */
  async reset(): Promise<void> {
    await this.#restart(async () => void (await this.#qmp.execute('system_reset')));
  }

  /** A clean power-off from inside the guest; resolves when QEMU has ended, with its exit. */
  async powerOff(): Promise<QemuExit> {
    this.#job.leave('poweroff');
    return await this.#limited(
      this.exited,
      'JOB_TIMEOUT',
      POWER_OFF_TIMEOUT_MS,
      'the guest did not power off',
    );
  }

  /** Pulls the plug: QEMU is killed with SIGKILL. */
  async kill(): Promise<void> {
    this.#process.kill(new GuestError('STOPPED', 'the guest was killed by kill()'));
    await this.exited;
  }

  /** One command of QEMU's monitor protocol. @throws GuestError QMP_FAILED */
  async qmp(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return await this.#qmp.execute(command, args);
  }

  /** The next QMP event of this name, with its data. */
  async qmpEvent(name: string, timeoutMs = JOB_TIMEOUT_MS): Promise<Record<string, unknown>> {
    const stop = new AbortController();
    const ended = this.exited.then(() => {
      throw this.#process.ended();
    });
    const event = once(this.#qmp, name, { signal: stop.signal });
    try {
      const [data] = await timeLimit(timeoutMs, Promise.race([event, ended]), () => {
        return this.#process.error('JOB_TIMEOUT', `QEMU sent no ${name} within ${timeoutMs / 1000} s`);
      });
      return data as Record<string, unknown>;
    } finally {
      event.catch(() => {});
      ended.catch(() => {});
      stop.abort();
    }
  }

  /** Makes sure that nothing is left. May be called at any time, any number of times. */
  async close(): Promise<void> {
    await this.kill();
    this.#folder.remove();
  }

  async #restart(begin: () => Promise<void>): Promise<void> {
    await this.#qmp.execute('set-action', { reboot: 'reset' });
    const started = performance.now();
    await begin();
    await this.#booted(started);
    await this.#qmp.execute('set-action', { reboot: 'shutdown' });
  }

  async #booted(started: number): Promise<void> {
    const ended = this.exited.then(() => {
      throw this.#process.ended();
    });
    ended.catch(() => {});
    await this.#limited(
      Promise.race([this.#job.hello(), ended]),
      'BOOT_TIMEOUT',
      this.#bootTimeoutMs,
      'the guest did not come up',
    );
    this.#bootSeconds = (performance.now() - started) / 1000;
  }

  async #limited<T>(
    work: Promise<T>,
    code: 'BOOT_TIMEOUT' | 'JOB_TIMEOUT',
    ms: number,
    summary: string,
  ): Promise<T> {
    return await timeLimit(ms, work, () => {
      const error = this.#process.error(code, `${summary} within ${ms / 1000} s`);
      work.catch(() => {});
      this.#process.kill(error);
      return error;
    });
  }
}

function killWhenAborted(process: QemuProcess, signal: AbortSignal | undefined): void {
  const abort = () => process.kill(new GuestError('STOPPED', 'the guest was stopped by its AbortSignal'));
  signal?.addEventListener('abort', abort, { once: true });
  void process.exited.then(() => signal?.removeEventListener('abort', abort));
}
