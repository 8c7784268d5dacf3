/**
 * Which shard serves which target. What two targets share must be on one shard, since the core has no locks: a
 * disk, by its file or by the serial number that its reservations are kept under.
 */
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { diskSerial } from '../disk-identity.ts';
import type { LunSpec, TargetSpec } from '../server.ts';

/**
 * By target, in the order given, the shard's number from 0. Targets that share nothing are dealt out in turn; one
 * that shares a disk follows the first target that has it.
 */
export function placeTargets(targets: readonly TargetSpec[], shards: number): number[] {
  const groups = targets.map((_, i) => i);
  /** The first target of a disk's group, by what names the disk. */
  const owners = new Map<string, number>();
  for (const [i, { luns }] of targets.entries()) {
    for (const key of luns.flatMap(namesOf)) {
      const owner = owners.get(key);
      if (owner === undefined) owners.set(key, i);
      else join(groups, owner, i);
    }
  }
  let dealt = 0;
  const placed: number[] = [];
  for (const [i, group] of groups.entries()) placed.push(group === i ? dealt++ % shards : placed[group]);
  return placed;
}

/** Makes one group of two; a group is named by its first target. */
function join(groups: number[], a: number, b: number): void {
  const first = Math.min(groups[a], groups[b]);
  const second = Math.max(groups[a], groups[b]);
  for (let i = 0; i < groups.length; i++) if (groups[i] === second) groups[i] = first;
}

/** Memory is a disk of its own each time it is described, but for a serial number that was given. */
function namesOf({ name, disk }: LunSpec): string[] {
  const names = name === undefined ? [] : [`disk ${name}`];
  const serial = diskSerial(disk);
  if (serial !== undefined) names.push(`serial ${serial}`);
  if (disk.kind === 'file') names.push(`file ${realPath(disk.name)}`);
  return names;
}

/** Also of a file that is yet to be made. */
export function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
