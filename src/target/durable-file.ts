/**
 * Replaces a file so that power loss at any byte leaves the old or the new text: temporary file, fsync, rename,
 * fsync of the directory. The last step is the one that others leave out.
 */
import { randomInt } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** What of a file system is used, so that a test can cut its power. */
export interface FileSystem {
  open(path: string, flags: string, mode?: number): Promise<FileHandle>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { readonly force: boolean }): Promise<void>;
}

export interface FileHandle {
  writeFile(text: string): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** More than anybody tries; `randomInt` goes no further. */
const TEMPORARY_NAMES = 2 ** 48 - 1;
const TEMPORARY = /\.\d+\.\d+\.tmp$/;

/**
 * What `replaceFile` had not renamed yet when its process was killed, of the file `name` or of all in `directory`. It
 * is in nobody's way where it cannot be removed.
 */
export function removeLeftovers(directory: string, name?: string): void {
  try {
    for (const each of readdirSync(directory)) {
      if (!TEMPORARY.test(each) || (name !== undefined && each.replace(TEMPORARY, '') !== name)) continue;
      rmSync(join(directory, each), { force: true });
    }
  } catch {
    // A directory that we may not read or write.
  }
}

/** Resolves when `text` is on stable storage under `path`, readable by its owner only. */
export async function replaceFile(
  path: string,
  text: string,
  fileSystem: FileSystem = { open, rename, rm },
): Promise<void> {
  const temporary = `${path}.${process.pid}.${randomInt(TEMPORARY_NAMES)}.tmp`;
  // Never one that is there: in a directory that others may write, it would be theirs, or lead elsewhere.
  const file = await fileSystem.open(temporary, 'wx', 0o600);
  try {
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await fileSystem.rename(temporary, path);
  } catch (error) {
    await fileSystem.rm(temporary, { force: true });
    throw error;
  }
  const directory = await fileSystem.open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Makes a directory and those above it, 0700, as durable as what is to be kept in it. */
export function makeDurableDirectory(path: string): void {
  const made = resolve(path);
  const first = mkdirSync(made, { recursive: true, mode: 0o700 }) ?? made;
  // One that was there may be of a process that was killed before it came to this.
  for (let at = made; at.length >= first.length; at = dirname(at)) syncDirectory(dirname(at));
}

function syncDirectory(path: string): void {
  let directory: number;
  try {
    directory = openSync(path, 'r');
  } catch (error) {
    // Where we may not look, we made nothing.
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return;
    throw error;
  }
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
