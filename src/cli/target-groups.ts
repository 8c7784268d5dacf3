/**
 * `DISK… + DISK…` and the `--socket` and `--connect` options: which disks make which target, and where virtual
 * machines are met.
 */
import { resolve } from 'node:path';
import { type DiskSpec, parseDisk, UsageError } from '../target/disk-spec.ts';
import type { DeviceKind, SocketSpec } from '../target/served-target.ts';

export interface TargetGroup {
  /** Undefined: none was named. */
  readonly sockets: readonly SocketSpec[] | undefined;
  /** At LUNs 0, 1, … */
  readonly disks: readonly DiskSpec[];
  readonly device: DeviceKind;
}

/** Starts the next target, between disks and between sockets. */
const SEPARATOR = '+';

/**
 * One target gets all `sockets`. Several get one each, in order, unless a socket called "+" starts those of the next
 * target. Throws UsageError.
 */
export function targetGroups(
  disks: readonly string[],
  sockets: readonly SocketSpec[],
  device: DeviceKind = 'scsi',
): TargetGroup[] {
  const named = divided(disks, (text) => text).map((group) => group.map(parseDisk));
  // A block device is one disk.
  const groups = device === 'blk' ? named.flatMap((group) => group.map((disk) => [disk])) : named;
  if (groups.some((group) => group.length === 0))
    throw new UsageError(`expected a disk on both sides of "${SEPARATOR}"`);
  const perGroup = socketsPerGroup(groups.length, sockets);
  const used = new Set<string>();
  return groups.map((group, i) => {
    const given = perGroup[i] ?? [];
    for (const { path } of given) {
      if (used.has(path)) throw new UsageError(`the socket ${path} is named twice`);
      used.add(path);
    }
    return { sockets: given.length > 0 ? given : undefined, disks: group, device };
  });
}

function socketsPerGroup(targets: number, sockets: readonly SocketSpec[]): SocketSpec[][] {
  const groups = divided(sockets, ({ path }) => path);
  const each = groups.length === 1 && targets > 1 ? sockets.map((socket) => [socket]) : groups;
  if (each.length > targets) {
    throw new UsageError(
      `received sockets for ${each.length} targets but disks for ${targets}; "${SEPARATOR}" starts a target`,
    );
  }
  return each.map((group) => group.map(({ path, role }) => ({ path: resolve(path), role })));
}

function divided<T>(items: readonly T[], nameOf: (item: T) => string): T[][] {
  const groups: T[][] = [[]];
  for (const item of items) {
    if (nameOf(item) === SEPARATOR) groups.push([]);
    else groups[groups.length - 1].push(item);
  }
  return groups;
}
