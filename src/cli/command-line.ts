/** What the command line of `lunport serve` comes to: a configuration, as a file has it. */
import { freeName } from '../target/configuration/changes.ts';
import { describeSpec } from '../target/configuration/disk-description.ts';
import { withPlaces } from '../target/configuration/places.ts';
import { CONFIGURATION_VERSION, type DiskDescription } from '../target/configuration/schema.ts';
import type { PlacedConfiguration } from '../target/configuration/server-setup.ts';
import { runtimeDirectory } from '../target/directories.ts';
import { UsageError } from '../target/disk-spec.ts';
import type { MetricsAddress } from '../target/metrics/metrics-server.ts';
import type { SocketSpec } from '../target/served-target.ts';
import type { IoMode } from '../target/shard.ts';
import { type IscsiCommandOptions, iscsiOptions } from './iscsi-options.ts';
import { type NbdCommandOptions, nbdOptions } from './nbd-options.ts';
import { targetGroups } from './target-groups.ts';

export interface ConfigurationOptions extends IscsiCommandOptions, NbdCommandOptions {
  readonly blk?: true;
  readonly io: IoMode;
  readonly pollUs: number;
  readonly shards: number;
  readonly state?: string;
  readonly ephemeral?: true;
  /** False: --no-control. */
  readonly control?: string | false;
  readonly metrics?: MetricsAddress;
}

/** Throws UsageError. */
export function commandLineConfiguration(
  texts: readonly string[],
  sockets: readonly SocketSpec[],
  options: ConfigurationOptions,
): PlacedConfiguration {
  if (texts.length === 0) throw new UsageError('expected a DISK, or --config FILE');
  const disks: Record<string, DiskDescription> = {};
  const targets = targetGroups(texts, sockets, options.blk ? 'blk' : 'scsi').map((group) => ({
    device: group.device,
    sockets: group.sockets,
    luns: group.disks.map((spec, lun) => {
      const disk = describeSpec(spec);
      const name = freeName(disks, disk);
      disks[name] = disk;
      return { lun, disk: name };
    }),
  }));
  const { io, pollUs: pollMicroseconds, shards, state, ephemeral, control, metrics } = options;
  return withPlaces(
    {
      version: CONFIGURATION_VERSION,
      disks,
      targets,
      iscsi: iscsiOptions(options),
      nbd: nbdOptions(options),
      io,
      pollMicroseconds,
      shards,
      stateDirectory: ephemeral ? null : state,
      metrics,
      control: control === false ? [] : control === undefined ? undefined : [control],
    },
    process.cwd(),
    runtimeDirectory,
  );
}
