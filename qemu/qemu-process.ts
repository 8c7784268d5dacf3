import type { ChildProcess } from 'node:child_process';
import { GuestError, type GuestErrorCode } from './guest-error.ts';
import { spawnOwned } from './owned-child.ts';

/** How QEMU ended. */
export interface QemuExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const CONSOLE_KEPT = 256 * 1024;
const TAIL_LINES = 25;

/** GRUB and SeaBIOS move the cursor and set colours. */
/** With panic=-1 the kernel resets the machine at once, which ends QEMU with exit code 0. */
const PANIC = /Kernel panic - not syncing: (.*)/;

// oxlint-disable-next-line no-control-regex -- the escape character is what is looked for
const TERMINAL_CONTROL = /\u001b(\[[0-9;?=]*[A-Za-z]|c)/g;

/** A running QEMU whose first serial port is its standard output. */
export class QemuProcess {
  readonly command: readonly string[];
  /** Never rejects. */
  readonly exited: Promise<QemuExit>;
  /** Null while it runs. */
  exit: QemuExit | null = null;

  readonly #child: ChildProcess;
  #console = '';
  #errors = '';
  #why: GuestError | null = null;

  constructor(command: readonly string[], onConsole?: (text: string) => void) {
    this.command = command;
    this.#child = spawnOwned(command, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.setEncoding('latin1').on('data', (text: string) => {
      this.#console = (this.#console + text).slice(-CONSOLE_KEPT);
      onConsole?.(text);
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-CONSOLE_KEPT);
    });
    this.exited = new Promise((resolve) => {
      const end = (exit: QemuExit) => {
        this.exit ??= exit;
        resolve(this.exit);
      };
      this.#child.once('error', (error) => {
        this.#errors += error.message;
        end({ code: null, signal: null });
      });
      this.#child.once('close', (code, signal) => end({ code, signal }));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What the first serial port said: the last 256 KiB. */
  get console(): string {
    return this.#console;
  }

  /** Ends it at once, as a power cut does. `why` is what waiting calls fail with. */
  kill(why?: GuestError): void {
    if (this.exit !== null) return;
    this.#why ??= why ?? null;
    this.#child.kill('SIGKILL');
  }

  /** What to throw where somebody still wanted the guest. */
  ended(): GuestError {
    if (this.#why !== null) return this.#why;
    const { code, signal } = this.exit ?? { code: null, signal: null };
    if (code === 0) {
      const panic = PANIC.exec(this.#console);
      if (panic === null) return this.error('QEMU_ENDED', 'the guest powered off or reset itself');
      // What leads to a panic is above it, the stack below.
      const from = Math.max(0, panic.index - 1000);
      const lines = this.#console.slice(from).split('\n').slice(0, TAIL_LINES);
      return this.error(
        'QEMU_ENDED',
        `the guest's kernel panicked: ${panic[1].trim()}`,
        '',
        lines.join('\n'),
      );
    }
    const how = signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
    return this.error('QEMU_ENDED', `QEMU ${how}`, `the command was: ${this.command.join(' ')}`);
  }

  /** An error with QEMU's and the guest's last words. */
  error(code: GuestErrorCode, summary: string, hint = '', console = this.#console): GuestError {
    const lines = console
      .replace(TERMINAL_CONTROL, '')
      .split(/[\r\n]+/)
      .filter((line) => line.trim() !== '');
    const detail = [...this.#errors.trim().split('\n').slice(-TAIL_LINES), ...lines.slice(-TAIL_LINES)];
    return new GuestError(code, summary, { detail: detail.filter(Boolean).join('\n'), hint });
  }
}
