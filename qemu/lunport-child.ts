import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { GuestError } from './guest-error.ts';
import { spawnOwned } from './owned-child.ts';
import { packageRoot } from './package-root.ts';
import { timeLimit } from './time-limit.ts';

/** Half a second and less; a busy machine makes much more of it. */
const READY_MS = 60_000;
const STOP_MS = 60_000;

/** A `lunport serve` beside this process, which it does not outlive. */
export class LunportChild {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  #errors = '';

  private constructor(args: readonly string[]) {
    const program = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
    if (!existsSync(program)) {
      throw new GuestError('PROGRAM_MISSING', `${program} is not there`, { hint: 'make build' });
    }
    this.#child = spawnOwned([process.execPath, program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-10_000);
    });
    this.#exited = once(this.#child, 'exit').catch(() => {});
  }

  /** @param args of `lunport serve`, besides --json; resolves when its sockets accept */
  static async serve(args: readonly string[]): Promise<LunportChild> {
    const lunport = new LunportChild(['serve', ...args, '--json']);
    const ready = lunport.#ready();
    ready.catch(() => {});
    try {
      await timeLimit(READY_MS, ready, () => lunport.#failure(`was not ready within ${READY_MS / 1000} s`));
      return lunport;
    } catch (error) {
      await lunport.kill();
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What it logged last. */
  get log(): string {
    return this.#errors;
  }

  /** Asks it to end, and fails unless it does so in good order. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await timeLimit(STOP_MS, this.#exited, () => {
      this.#child.kill('SIGKILL');
      return this.#failure(`did not end within ${STOP_MS / 1000} s of SIGTERM`);
    });
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== 0) throw this.#failure(`ended with ${exitCode ?? signalCode} after SIGTERM`);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** --json has it print a document when it is ready, and its log after that. */
  async #ready(): Promise<void> {
    for await (const line of createInterface({ input: this.#child.stdout! })) {
      if (line.includes('"event":"ready"')) {
        this.#child.stdout!.resume();
        return;
      }
      this.#errors += `${line}\n`;
    }
    await this.#exited;
    throw this.#failure(`ended with ${this.#child.exitCode ?? this.#child.signalCode} before it was ready`);
  }

  #failure(what: string): GuestError {
    return new GuestError('BACK_END_FAILED', `lunport serve ${what}`, { detail: this.#errors });
  }
}
