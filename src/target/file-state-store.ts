/** A logical unit's durable state as files: one directory per disk, one file per name. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StateStore } from '../scsi/state-store.ts';
import { makeDurableDirectory, replaceFile } from './durable-file.ts';

export class FileStateStore implements StateStore {
  private readonly directory: string;
  /** Writes of one name keep their order, also when they come faster than the disk takes them. */
  private last: Promise<void> = Promise.resolve();

  /** `serial` names the disk; it may hold any characters. */
  constructor(base: string, serial: string) {
    this.directory = join(base, encodeURIComponent(serial).replaceAll('.', '%2E'));
    makeDurableDirectory(this.directory);
  }

  load(name: string): string | undefined {
    try {
      return readFileSync(this.path(name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  save(name: string, text: string): Promise<void> {
    const saved = this.last.then(() => replaceFile(this.path(name), text));
    this.last = saved.catch(() => {});
    return saved;
  }

  /** Where the state of this name is. */
  path(name: string): string {
    return join(this.directory, `${name}.json`);
  }
}
