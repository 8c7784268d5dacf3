/**
 * Replaces a file so that power loss at any byte leaves the old or the new text: temporary file, fsync, rename,
 * fsync of the directory. The last step is the one that others leave out.
 */
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Resolves when `text` is on stable storage under `path`, readable by its owner only. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
