import { type BinaryLike, createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { GuestError } from './guest-error.ts';
import { withLock } from './lock.ts';

const BUILDING = '.building-';
const UNUSED_DAYS = 14;

/** Where guests are kept: $LUNPORT_CACHE, else $XDG_CACHE_HOME/lunport, else ~/.cache/lunport. */
export function cacheFolder(): string {
  const own = process.env['LUNPORT_CACHE'];
  if (own) {
    if (isAbsolute(own)) return own;
    throw new GuestError('BAD_OPTION', `LUNPORT_CACHE is "${own}", but must be an absolute path`);
  }
  const xdg = process.env['XDG_CACHE_HOME'];
  // The XDG specification says that relative paths are to be ignored.
  return join(xdg && isAbsolute(xdg) ? xdg : join(homedir(), '.cache'), 'lunport');
}

/** A short name for everything that a cached thing was made from. */
export function recipeKey(...parts: readonly BinaryLike[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 12);
}

/**
 * Answers the path of `name` in the cache; builds it first if it is not there. Any number of processes may
 * ask at once: one builds, the others wait. What has its name is complete: it is built under another one.
 */
export async function cached(
  name: string,
  build: (path: string) => Promise<void>,
  progress: (line: string) => void = () => {},
): Promise<string> {
  const folder = cacheFolder();
  const path = join(folder, name);
  if (await touch(path)) return path;
  await mkdir(folder, { recursive: true });
  const waiting = setTimeout(() => progress(`waiting for another process that builds ${name}`), 1000);
  await withLock(join(folder, `.lock-${name}`), async () => {
    clearTimeout(waiting);
    if (await touch(path)) return;
    const unfinished = join(folder, BUILDING + name);
    // Whoever left this one behind is dead, or would still hold the lock.
    await rm(unfinished, { recursive: true, force: true });
    try {
      await build(unfinished);
      await rename(unfinished, path);
    } finally {
      await rm(unfinished, { recursive: true, force: true });
    }
    await prune(folder);
  }).finally(() => clearTimeout(waiting));
  return path;
}

/** The time of last use decides what is pruned. */
async function touch(path: string): Promise<boolean> {
  const now = new Date();
  try {
    await utimes(path, now, now);
    return true;
  } catch {
    // Read-only caches are fine.
    return existsSync(path);
  }
}

/** Every change of a recipe leaves the old guest behind; half a gigabyte each. */
async function prune(folder: string): Promise<void> {
  const oldest = Date.now() - UNUSED_DAYS * 86_400_000;
  for (const name of await readdir(folder)) {
    if (!/^(debian|disk|initrd|kvm)-/.test(name)) continue;
    const path = join(folder, name);
    const used = await stat(path).catch(() => null);
    if (used !== null && used.mtimeMs < oldest) await rm(path, { recursive: true, force: true });
  }
}
