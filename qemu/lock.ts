import { once } from 'node:events';
import { GuestError } from './guest-error.ts';
import { spawnOwned } from './owned-child.ts';
import { findProgram } from './run-program.ts';

/** flock(1) runs this with the lock held, until its standard input ends. */
const HOLD = 'echo locked && exec cat >/dev/null';

/**
 * Runs `work` while no other process, and nobody else here, is inside a withLock of the same path. The lock
 * is the kernel's and lives in a child, so it is free again whatever becomes of us.
 */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const holder = spawnOwned([findProgram('flock'), '--exclusive', path, 'sh', '-c', HOLD], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const locked = once(holder.stdout!, 'data');
  const ended = once(holder, 'exit').then(([code]) => {
    throw new GuestError('BUILD_FAILED', `cannot lock ${path}: flock ended with exit code ${code}`, {
      hint: 'is its folder writable?',
    });
  });
  ended.catch(() => {});
  await Promise.race([locked, ended]);
  try {
    return await work();
  } finally {
    holder.stdin!.end();
    await ended.catch(() => {});
  }
}
