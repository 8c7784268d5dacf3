/**
 * `DISK… + DISK…` and the `--socket` and `--connect` options: which disks make which target, and where virtual
 * machines are met.
 */
import { basename, join, parse, resolve } from 'node:path';
import { type DiskSpec, parseDisk, UsageError } from '../target/disk-spec.ts';
import type { DeviceKind, SocketSpec } from '../target/served-target.ts';
import type { TargetSpec } from '../target/server.ts';

/** Starts the next target, between disks and between sockets. */
const SEPARATOR = '+';

/**
 * One target gets all `sockets`. Several get one each, in order, unless a socket called "+" starts those of the next
 * target. Targets without one get a default name in `directory`. Throws UsageError.
 */
export function targetGroups(
  disks: readonly string[],
  sockets: readonly SocketSpec[],
  directory: () => string,
  device: DeviceKind = 'scsi',
): TargetSpec[] {
  const named = divided(disks, (text) => text).map((group) => group.map(parseDisk));
  // A block device is one disk.
  const groups = device === 'blk' ? named.flatMap((group) => group.map((disk) => [disk])) : named;
  if (groups.some((group) => group.length === 0))
    throw new UsageError(`expected a disk on both sides of "${SEPARATOR}"`);
  const perGroup = socketsPerGroup(groups.length, sockets);
  const used = new Set<string>();
  return groups.map((group, i) => {
    const given = perGroup[i] ?? [];
    const specs: SocketSpec[] =
      given.length > 0 ? given : [{ path: freeName(directory(), group[0], used), role: 'listen' }];
    for (const { path } of specs) {
      if (used.has(path)) throw new UsageError(`the socket ${path} is named twice`);
      used.add(path);
    }
    return { sockets: specs, disks: group, device };
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

/** A socket named after the first disk; the same one after a restart with the same command line. */
function freeName(directory: string, disk: DiskSpec, used: ReadonlySet<string>): string {
  const stem = disk.kind === 'file' ? parse(basename(disk.name)).name : disk.kind;
  for (let i = 0; ; i++) {
    const path = join(directory, `${stem}${i === 0 ? '' : `-${i}`}.sock`);
    if (!used.has(path)) return path;
  }
}
