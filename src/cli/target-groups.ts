/** `DISK… + DISK…` and the `--socket` options: which disks make which target, and where each one listens. */
import { basename, join, parse, resolve } from 'node:path';
import { type DiskSpec, parseDisk, UsageError } from '../target/disk-spec.ts';

export interface TargetGroup {
  /** Absolute. */
  readonly socketPath: string;
  readonly disks: readonly DiskSpec[];
}

const SEPARATOR = '+';

/** `sockets` belong to the groups in order; the rest get default names in `directory`. Throws UsageError. */
export function targetGroups(
  disks: readonly string[],
  sockets: readonly string[],
  directory: () => string,
): TargetGroup[] {
  const groups: DiskSpec[][] = [[]];
  for (const text of disks) {
    if (text === SEPARATOR) groups.push([]);
    else groups[groups.length - 1].push(parseDisk(text));
  }
  if (groups.some((group) => group.length === 0))
    throw new UsageError(`expected a disk on both sides of "${SEPARATOR}"`);
  if (sockets.length > groups.length) {
    throw new UsageError(
      `received ${sockets.length} sockets for ${groups.length} target(s); "${SEPARATOR}" starts a target`,
    );
  }
  const used = new Set<string>();
  return groups.map((group, i) => {
    const socketPath = sockets[i] === undefined ? freeName(directory(), group[0], used) : resolve(sockets[i]);
    if (used.has(socketPath)) throw new UsageError(`two targets cannot share the socket ${socketPath}`);
    used.add(socketPath);
    return { socketPath, disks: group };
  });
}

/** A socket named after the first disk; the same one after a restart with the same command line. */
function freeName(directory: string, disk: DiskSpec, used: ReadonlySet<string>): string {
  const stem = disk.kind === 'file' ? parse(basename(disk.name)).name : disk.kind;
  for (let i = 0; ; i++) {
    const path = join(directory, `${stem}${i === 0 ? '' : `-${i}`}.sock`);
    if (!used.has(path)) return path;
  }
}
