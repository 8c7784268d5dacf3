/** What `add`, `remove` and `resize` make of a configuration. All of them leave the old one as it was. */
import { basename, parse } from 'node:path';
import type { Configuration, DiskDescription } from './schema.ts';

export function withLun<C extends Configuration>(
  configuration: C,
  target: number,
  lun: number,
  disk: DiskDescription,
): C {
  const name = freeName(configuration.disks, disk);
  return withTarget({ ...configuration, disks: { ...configuration.disks, [name]: disk } }, target, (luns) => [
    ...luns,
    { lun, disk: name },
  ]);
}

/** A disk that no target has any more is forgotten. */
export function withoutLun<C extends Configuration>(configuration: C, target: number, lun: number): C {
  const name = diskAt(configuration, target, lun);
  const changed = withTarget(configuration, target, (luns) => luns.filter((each) => each.lun !== lun));
  if (changed.targets.some(({ luns }) => luns.some(({ disk }) => disk === name))) return changed;
  return {
    ...changed,
    disks: Object.fromEntries(Object.entries(changed.disks).filter(([key]) => key !== name)),
  };
}

/**
 * What a file was made with has been said, and from now on it is expected to be there: one that has vanished is not to
 * be made again, empty.
 */
export function asOpened(disk: DiskDescription): DiskDescription {
  if (disk.kind !== 'file') return disk;
  const { create, size, ...rest } = disk;
  return create === true || size !== undefined ? rest : disk;
}

export function withDisks<C extends Configuration>(
  configuration: C,
  change: (disk: DiskDescription) => DiskDescription,
): C {
  const disks = Object.entries(configuration.disks).map(([name, disk]) => [name, change(disk)]);
  return { ...configuration, disks: Object.fromEntries(disks) };
}

/** A name that says what the disk is. */
export function freeName(disks: Configuration['disks'], disk: DiskDescription): string {
  const text = disk.kind === 'file' ? parse(basename(disk.path)).name : disk.kind;
  // The one name that an object cannot have as a key like any other.
  const stem =
    text
      .replace(/\s/g, '-')
      .replace(/^__proto__$/, '')
      .slice(0, 48) || 'disk';
  for (let i = 0; ; i++) {
    const name = i === 0 ? stem : `${stem}-${i}`;
    if (!Object.hasOwn(disks, name)) return name;
  }
}

type Lun = Configuration['targets'][number]['luns'][number];

function diskAt({ targets }: Configuration, target: number, lun: number): string | undefined {
  return targets[target].luns.find((each) => each.lun === lun)?.disk;
}

function withTarget<C extends Configuration>(
  configuration: C,
  index: number,
  change: (luns: readonly Lun[]) => Lun[],
): C {
  const targets = configuration.targets.map((target, i) =>
    i === index ? { ...target, luns: change(target.luns) } : target,
  );
  return { ...configuration, targets };
}
