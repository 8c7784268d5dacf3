/**
 * The configuration of a running lunport: it follows what `add`, `remove` and `resize` do, and is written back to the
 * file that it came from, if it came from one, before whoever asked for the change is answered.
 */
import { existsSync } from 'node:fs';
import { LunportError } from '../errors.ts';
import { type AddedDisk, specOf } from '../operations/disks.ts';
import type { Json } from '../operations/operation.ts';
import { findTarget } from '../operations/target-of.ts';
import { targetWwn } from '../served-target.ts';
import { asOpened, withDisks, withLun, withoutLun } from './changes.ts';
import type { ConfigurationFile } from './configuration-file.ts';
import { describeSpec } from './disk-description.ts';
import type { PlacedConfiguration } from './server-setup.ts';

/** Operations that a configuration has a place for. */
const CHANGES = new Set(['add', 'remove', 'resize']);

export class RunningConfiguration {
  private configuration: PlacedConfiguration;
  private readonly file: ConfigurationFile | undefined;
  /** Files that could not be made at the start, and are to be made at the next. */
  private readonly unmade: ReadonlySet<string>;

  /** When the disks have been opened. */
  constructor(configuration: PlacedConfiguration, file?: ConfigurationFile) {
    this.configuration = configuration;
    this.file = file;
    const paths = Object.values(configuration.disks).flatMap((disk) =>
      disk.kind === 'file' ? [disk.path] : [],
    );
    this.unmade = new Set(paths.filter((path) => !existsSync(path)));
  }

  /** As it would be written. */
  get current(): PlacedConfiguration {
    return withDisks(this.configuration, (disk) =>
      disk.kind === 'file' && this.unmade.has(disk.path) ? disk : asOpened(disk),
    );
  }

  /** An operation that changes what is served has succeeded. Throws LunportError when that cannot be written down. */
  async changed(name: string, params: unknown, result: Json): Promise<void> {
    if (!CHANGES.has(name)) return;
    const { target } = params as { readonly target?: string };
    const { lun } = result as { readonly lun: number };
    const index = this.indexOf(target);
    const before = this.current;
    if (name === 'add') {
      const disk = asOpened(describeSpec(specOf(params as AddedDisk)));
      this.configuration = withLun(this.configuration, index, lun, disk);
    } else if (name === 'remove') this.configuration = withoutLun(this.configuration, index, lun);
    if (this.file === undefined) return;
    try {
      await this.file.write(this.current, before);
    } catch (error) {
      throw notSaved(name, lun, error);
    }
  }

  /** Writes the file that the configuration came from, and tells which it is. Throws LunportError. */
  async save(): Promise<string> {
    if (this.file === undefined) {
      throw new LunportError({
        code: 'no-configuration-file',
        object: 'lunport',
        message: 'It was started without --config, so that there is no file to write',
        hint: 'Name one: lunport save SOCKET FILE; then start it with --config FILE.',
      });
    }
    await this.file.write(this.current);
    return this.file.path;
  }

  private indexOf(name: string | undefined): number {
    const targets = this.configuration.targets.map((target, index) => ({
      ...target,
      name: targetWwn(target),
      index,
    }));
    return findTarget(targets, name).index;
  }
}

function notSaved(operation: string, lun: number, cause: unknown): LunportError {
  const { message, hint } = cause as LunportError;
  return new LunportError({
    code: 'not-saved',
    object: `LUN ${lun}`,
    message: `"${operation}" is done, LUN ${lun}, but it will be forgotten at the next start: ${message}`,
    hint,
    cause,
  });
}
