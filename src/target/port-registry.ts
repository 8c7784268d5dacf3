/**
 * The numbers that targets' ports have (first-ports.ts), kept in the state directory beside the reservations that rely
 * on them. Several lunports may use the directory at the same time.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { addon } from '../native/addon.ts';
import { Errno, fromNodeError, LunportError } from '../native/errno.ts';
import { LockType } from '../native/file-lock.ts';
import type { DiskSpec } from './disk-spec.ts';
import { makeDurableDirectory, removeLeftovers, replaceFile } from './durable-file.ts';
import { firstPorts, PORTS_APART } from './first-ports.ts';

/** No disk's folder has a dot in its name. */
const FILE = 'target-ports.json';
const LOCK = 'target-ports.lock';
/** Milliseconds. */
const LOOK_EVERY = 5;
const PATIENCE = 10_000;
/** Targets that are remembered; those that came first are forgotten first. */
const MEMORY = 4096;

const schema = z.strictObject({
  version: z.literal(1),
  targets: z.array(
    z.strictObject({ name: z.string(), firstPort: z.int().min(0).max(0xffff).multipleOf(PORTS_APART) }),
  ),
});

export interface NumberedTarget {
  /** Its own first, then those that it may have had (served-target.ts). */
  readonly names: readonly string[];
  readonly luns: readonly { readonly disk: DiskSpec; readonly name?: string }[];
}

/**
 * What each of `targets` counts its relative port identifiers from, the same as at the last start. With no `directory`
 * nothing is remembered. `warn` hears of a target that cannot keep its number. Throws LunportError.
 */
export async function registerPorts(
  targets: readonly NumberedTarget[],
  directory: string | undefined,
  warn: (message: string) => void,
): Promise<number[]> {
  const unnumbered = targets.map(({ names, luns }) => ({
    name: names[0],
    disks: luns.flatMap((lun) => lun.name ?? []),
  }));
  // What is in memory only is gone with the process, and its reservations with it.
  const durable = targets.filter(({ luns }) => luns.some(({ disk }) => disk.kind === 'file'));
  if (directory === undefined || durable.length === 0) return firstPorts(unnumbered, new Map());
  const lock = await lockRegistry(directory);
  try {
    removeLeftovers(directory, FILE);
    const known = read(directory);
    const remembered = targets.map(({ names }) => names.find((name) => known.has(name)) ?? names[0]);
    const ports = firstPorts(
      unnumbered.map((target, i) => ({ ...target, name: remembered[i] })),
      known,
    );
    const next = new Map(known);
    for (const [i, target] of targets.entries()) {
      if (!durable.includes(target)) continue;
      const before = known.get(remembered[i]);
      if (before !== undefined && before !== ports[i]) warn(renumbered(target.names[0]));
      for (const name of target.names) next.set(name, ports[i]);
    }
    if ([...next].some(([name, port]) => known.get(name) !== port)) await write(directory, next, targets);
    return ports;
  } finally {
    closeSync(lock);
  }
}

function read(directory: string): Map<string, number> {
  const path = join(directory, FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw fromNodeError(error, 'read', path);
  }
  try {
    return new Map(
      schema.parse(JSON.parse(text)).targets.map(({ name, firstPort }) => [name, firstPort] as const),
    );
  } catch (cause) {
    throw new LunportError({
      code: 'LUNPORT_DAMAGED_STATE',
      object: path,
      message: `${path}, which says how target ports are numbered, is damaged`,
      hint: 'Put it back from a copy; or move it away, and targets that share disks may lose their registrations.',
      cause,
    });
  }
}

async function write(
  directory: string,
  ports: ReadonlyMap<string, number>,
  served: readonly NumberedTarget[],
): Promise<void> {
  const names = new Set(served.flatMap((target) => target.names));
  const all = [...ports].map(([name, firstPort]) => ({ name, firstPort }));
  const surplus = all.length - MEMORY;
  const targets = all.filter(({ name }, i) => i >= surplus || names.has(name));
  const path = join(directory, FILE);
  try {
    await replaceFile(path, `${JSON.stringify({ version: 1, targets }, undefined, 2)}\n`);
  } catch (error) {
    throw fromNodeError(error, 'keep the numbers of target ports in', path);
  }
}

/** A descriptor; closing it unlocks. */
async function lockRegistry(directory: string): Promise<number> {
  const path = join(directory, LOCK);
  let lock: number;
  try {
    makeDurableDirectory(directory);
    lock = openSync(path, 'a+', 0o600);
  } catch (error) {
    throw fromNodeError(error, 'keep the numbers of target ports in', path);
  }
  for (let waited = 0; waited < PATIENCE; waited += LOOK_EVERY) {
    const result = addon.lockRange(lock, LockType.WRITE, 0, 1);
    // Where the file system has no locks, one process at a time is all that may use it.
    if (result !== Errno.EAGAIN && result !== Errno.EACCES) return lock;
    await sleep(LOOK_EVERY);
  }
  closeSync(lock);
  throw new LunportError({
    code: 'state-in-use',
    object: path,
    message: `Another lunport has locked ${path} for ${PATIENCE / 1000} s`,
    hint: 'It hangs: end it, or give this one a folder of its own with --state.',
  });
}

function renumbered(name: string): string {
  return (
    `${name} shares a disk with another target whose ports have the same numbers, and gets others: ` +
    'its initiators have to register again'
  );
}
