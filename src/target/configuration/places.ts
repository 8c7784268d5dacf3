/** Paths in a configuration: relative ones begin at its file, and sockets that are not named get a name. */
import { basename, join, parse, resolve } from 'node:path';
import type { Configuration, DiskDescription } from './schema.ts';
import type { PlacedConfiguration } from './server-setup.ts';

/** `base`: where relative paths begin; `runtimeDirectory`: where sockets are that have no name yet. */
export function withPlaces(
  configuration: Configuration,
  base: string,
  runtimeDirectory: () => string,
): PlacedConfiguration {
  const at = (path: string) => resolve(base, path);
  const { disks, targets, nbd, stateDirectory, control } = configuration;
  const named = targets.map(({ sockets, ...target }) => ({
    ...target,
    sockets: (sockets ?? [{ role: 'listen' as const }]).map(({ path, ...socket }) => ({
      ...socket,
      path: path === undefined ? undefined : at(path),
    })),
  }));
  const used = new Set(named.flatMap(({ sockets }) => sockets.flatMap(({ path }) => path ?? [])));
  return {
    ...configuration,
    disks: Object.fromEntries(
      Object.entries(disks).map(([name, disk]) => [
        name,
        disk.kind === 'file' ? { ...disk, path: at(disk.path) } : disk,
      ]),
    ),
    targets: named.map((target) => {
      const [first] = target.luns;
      const free = () => freeSocket(runtimeDirectory(), stem(first && disks[first.disk]), used);
      return {
        ...target,
        sockets: target.sockets.map((socket) => ({ ...socket, path: socket.path ?? free() })),
      };
    }),
    ...(nbd === undefined ? {} : { nbd: nbdAt(nbd, at) }),
    ...(typeof stateDirectory === 'string' ? { stateDirectory: at(stateDirectory) } : {}),
    ...(control === undefined ? {} : { control: control.map(at) }),
  };
}

function nbdAt(nbd: NonNullable<Configuration['nbd']>, at: (path: string) => string) {
  const { address, certificates, keys } = nbd;
  return {
    ...nbd,
    address: 'path' in address ? { path: at(address.path) } : address,
    ...(certificates === undefined ? {} : { certificates: at(certificates) }),
    ...(keys === undefined ? {} : { keys: at(keys) }),
  };
}

/** What a socket is named after; the same one after a restart with the same disk. */
function stem(disk: DiskDescription | undefined): string {
  if (disk === undefined) return 'target';
  return disk.kind === 'file' ? parse(basename(disk.path)).name : disk.kind;
}

/** A name that is not in `used`, and is from then on. */
function freeSocket(directory: string, name: string, used: Set<string>): string {
  for (let i = 0; ; i++) {
    const path = join(directory, `${name}${i === 0 ? '' : `-${i}`}.sock`);
    if (used.has(path)) continue;
    used.add(path);
    return path;
  }
}
