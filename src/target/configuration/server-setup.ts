/** From a configuration to what a server is opened with: the only way there, from the command line or from a file. */
import { stateDirectory } from '../directories.ts';
import type { ServerOptions, TargetSpec } from '../server.ts';
import { diskSpec } from './disk-description.ts';
import type { Configuration } from './schema.ts';

export interface ServerSetup {
  readonly targets: readonly TargetSpec[];
  readonly options: Omit<ServerOptions, 'log'>;
  readonly shards: number;
}

/** A configuration whose targets all know their sockets. */
export type PlacedConfiguration = Omit<Configuration, 'targets'> & {
  readonly targets: readonly (Omit<Configuration['targets'][number], 'sockets'> &
    Pick<TargetSpec, 'sockets'>)[];
};

export function serverSetup(configuration: PlacedConfiguration): ServerSetup {
  const { disks, io = 'auto', pollMicroseconds, stateDirectory: directory, iscsi, nbd } = configuration;
  return {
    targets: configuration.targets.map((target) => ({
      ...target,
      luns: target.luns.map(({ lun, disk: name }) => ({ lun, name, disk: diskSpec(disks[name]) })),
    })),
    options: {
      io,
      pollMicroseconds,
      stateDirectory: directory === null ? undefined : (directory ?? stateDirectory()),
      iscsi,
      nbd,
    },
    shards: configuration.shards ?? 0,
  };
}
