/** Where sockets and state live: the user's runtime and state directories (XDG base directories), never world-readable. */
import { mkdirSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDurableDirectory } from './durable-file.ts';

/** Directory for sockets; made 0700. Gone after a reboot. */
export function runtimeDirectory(): string {
  const base = process.env.XDG_RUNTIME_DIR;
  const path = base ? join(base, 'lunport') : join(tmpdir(), `lunport-${process.getuid!()}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}

/** Directory for reservations and saved mode pages; made 0700. Survives a reboot. */
export function stateDirectory(): string {
  const base = process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state');
  const path = join(base, 'lunport');
  makeDurableDirectory(path);
  return path;
}
