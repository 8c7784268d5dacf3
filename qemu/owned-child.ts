import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { atProcessEnd } from './process-end.ts';

const SETPRIV = '/usr/bin/setpriv';

/** util-linux's setpriv asks the kernel to kill the program it becomes when its parent dies, even of SIGKILL. */
const DIE_WITH_PARENT = [SETPRIV, '--pdeathsig', 'KILL', '--'];

function canExecute(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Spawns a program that never outlives this process. Its process id is the program's own: setpriv execs it.
 * A missing program is ENOENT by the 'error' event where setpriv is absent, and exit code 127 where it is there.
 */
export function spawnOwned(command: readonly string[], options: SpawnOptions): ChildProcess {
  const [program, ...args] = canExecute(SETPRIV) ? [...DIE_WITH_PARENT, ...command] : command;
  const child = spawn(program, args, options);
  const unregister = atProcessEnd(() => child.kill('SIGKILL'));
  child.once('exit', unregister);
  child.once('error', unregister);
  return child;
}
