/** Where sockets and state live: the user's runtime and state directories (XDG base directories), never world-readable. */
import { lstatSync, mkdirSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromNodeError, LunportError } from '../native/errno.ts';
import { makeDurableDirectory } from './durable-file.ts';

/** Directory for sockets; made 0700. Gone after a reboot. Throws LunportError. */
export function runtimeDirectory(): string {
  const base = process.env.XDG_RUNTIME_DIR;
  const path = base ? join(base, 'lunport') : join(tmpdir(), `lunport-${process.getuid!()}`);
  make(path, 'XDG_RUNTIME_DIR', (wanted) => mkdirSync(wanted, { recursive: true, mode: 0o700 }));
  // Under /tmp anybody may have made it first, and would own the sockets in it.
  const { uid } = lstatSync(path);
  if (uid !== process.getuid!()) {
    throw new LunportError({
      code: 'foreign-directory',
      object: path,
      message: `${path} belongs to user ${uid}`,
      hint: 'Set XDG_RUNTIME_DIR to a folder of your own, or name the socket with --socket.',
    });
  }
  return path;
}

/** Directory for reservations and saved mode pages; made 0700. Survives a reboot. Throws LunportError. */
export function stateDirectory(): string {
  const base = process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state');
  const path = join(base, 'lunport');
  make(path, 'XDG_STATE_HOME', makeDurableDirectory);
  return path;
}

function make(path: string, variable: string, makeDirectory: (path: string) => void): void {
  try {
    makeDirectory(path);
  } catch (cause) {
    const error = fromNodeError(cause, 'make the folder', path);
    if (!(error instanceof LunportError)) throw error;
    const { code, message } = error;
    const hint = `Set ${variable} to a folder that this user may write.`;
    throw new LunportError({ code, object: path, message, hint, cause });
  }
}
