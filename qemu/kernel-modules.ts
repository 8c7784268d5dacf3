import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GuestError } from './guest-error.ts';

/** Bytes. */
const MAX_MODULE = 64 << 20;

/** depmod's file: "path: path path…", what a module needs, the deepest last. */
function dependencies(folder: string): Map<string, string[]> {
  const map = new Map<string, string[]>();
  for (const line of readFileSync(join(folder, 'modules.dep'), 'utf8').split('\n')) {
    const [path, rest] = line.split(':');
    if (rest !== undefined) map.set(path, rest.split(' ').filter(Boolean));
  }
  return map;
}

/** A module's name as lsmod shows it, from its path. */
function nameOf(path: string): string {
  return path
    .slice(path.lastIndexOf('/') + 1)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

/** Modules that are in the kernel itself need no file. */
function builtIn(folder: string): Set<string> {
  return new Set(readFileSync(join(folder, 'modules.builtin'), 'utf8').split('\n').map(nameOf));
}

/**
 * Paths below `folder` (a /lib/modules/RELEASE) of the named modules and all they need, in an order in which
 * insmod can load them.
 */
export function modulesInOrder(folder: string, names: readonly string[]): string[] {
  const needs = dependencies(folder);
  const inKernel = builtIn(folder);
  const byName = new Map([...needs.keys()].map((path) => [nameOf(path), path]));
  const order = new Set<string>();
  for (const name of names) {
    const path = byName.get(name.replaceAll('-', '_'));
    if (path === undefined) {
      if (inKernel.has(name.replaceAll('-', '_'))) continue;
      throw new GuestError('BAD_OPTION', `Debian's cloud kernel has no module "${name}"`, {
        hint: `see ${folder}`,
      });
    }
    for (const each of (needs.get(path) ?? []).toReversed()) order.add(each);
    order.add(path);
  }
  return [...order];
}

/** A module that insmod can load. */
export function readModule(path: string): Buffer {
  if (!path.endsWith('.xz')) return readFileSync(path);
  return execFileSync('xz', ['--decompress', '--stdout', path], { maxBuffer: MAX_MODULE });
}
