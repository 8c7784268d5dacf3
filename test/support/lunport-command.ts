/** `lunport` as somebody at a shell runs it. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../../qemu/package-root.ts';

const MAIN = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');

/** Rejects with `code` and `stderr` when it fails. */
export function lunport(
  ...args: readonly string[]
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return promisify(execFile)(process.execPath, [MAIN, ...args]);
}
