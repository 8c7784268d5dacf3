/** `--run 'CMD'`: a shell command around which lunport serves, and with whose status it ends. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

export interface RunningCommand {
  /** Resolves with the exit status; 128 plus the signal's number when one ended it, as shells have it. */
  readonly ended: Promise<number>;
  /** Passes a signal on. */
  signal(name: NodeJS.Signals): void;
}

export function runCommand(command: string, environment: Readonly<Record<string, string>>): RunningCommand {
  const child = spawn('/bin/sh', ['-c', command], {
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
  return { ended, signal: (name) => void child.kill(name) };
}
