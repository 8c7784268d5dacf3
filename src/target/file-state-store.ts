/**
 * A logical unit's durable state as files: one directory per disk, one file per name. The directory is locked like
 * the image itself, so that two disks with one serial number cannot write over each other's reservations.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { addon } from '../native/addon.ts';
import { Errno, fromNodeError, LunportError } from '../native/errno.ts';
import { LockType } from '../native/file-lock.ts';
import type { StateStore } from '../scsi/state-store.ts';
import { makeDurableDirectory, removeLeftovers, replaceFile } from './durable-file.ts';

export class FileStateStore implements StateStore {
  private readonly directory: string;
  private readonly lock: number;
  /** Writes of one name keep their order, also when they come faster than the disk takes them. */
  private last: Promise<void> = Promise.resolve();

  /**
   * `serial` names the disk; it may hold any characters. With `shared` others that say the same may use it too.
   * Throws LunportError, with code 'state-in-use' when another has it.
   */
  constructor(base: string, serial: string, shared = false) {
    this.directory = diskDirectory(base, serial);
    try {
      makeDurableDirectory(this.directory);
      this.lock = openSync(join(this.directory, 'lock'), 'a+', 0o600);
    } catch (error) {
      throw fromNodeError(error, 'keep reservations in', this.directory);
    }
    const result = addon.lockRange(this.lock, shared ? LockType.READ : LockType.WRITE, 0, 1);
    if (result !== Errno.EAGAIN && result !== Errno.EACCES) {
      if (!shared) removeLeftovers(this.directory);
      return;
    }
    closeSync(this.lock);
    throw new LunportError({
      code: 'state-in-use',
      object: serial,
      message: `Cannot keep the state of the disk with serial number ${serial}: another disk in use has the same`,
      hint: 'give each disk a serial number of its own: disk.img,serial=TEXT',
    });
  }

  /** Waits for what is being saved, and lets others use the directory. */
  async close(): Promise<void> {
    await this.last;
    closeSync(this.lock);
  }

  /** Throws LunportError. */
  load(name: string): string | undefined {
    const path = this.path(name);
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw fromNodeError(error, 'read', path);
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

function diskDirectory(base: string, serial: string): string {
  return join(base, encodeURIComponent(serial).replaceAll('.', '%2E'));
}
