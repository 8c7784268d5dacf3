/**
 * Listening Unix sockets that a service manager hands over at the start (sd_listen_fds(3)), found by their paths. Each
 * thread looks for itself and only ever takes the path that it was told to serve.
 */
import { addon } from './addon.ts';

/** SD_LISTEN_FDS_START: they are these descriptors, one after the other. */
const FIRST = 3;
/** More than any unit file has; what is in the environment may be anything. */
const MOST = 1024;

let handedOver: Map<string, number> | undefined;

/** Descriptors by path; those that were taken are gone. */
function sockets(): Map<string, number> {
  handedOver ??= find(process.env);
  return handedOver;
}

function find({ LISTEN_PID, LISTEN_FDS }: NodeJS.ProcessEnv): Map<string, number> {
  const found = new Map<string, number>();
  // Whoever started us may have been meant, and not cleared the variables.
  if (Number(LISTEN_PID) !== process.pid) return found;
  const count = Math.min(Number(LISTEN_FDS), MOST);
  for (let fd = FIRST; fd < FIRST + count; fd++) {
    const path = addon.adoptListener(fd);
    if (typeof path === 'string') found.set(path, fd);
  }
  return found;
}

/** The paths on which somebody listens for us, and which nothing here has taken. */
export function inheritedPaths(): readonly string[] {
  return [...sockets().keys()];
}

/** The descriptor that listens on `path`, an absolute path; it is the caller's from now on. */
export function takeInherited(path: string): number | undefined {
  const fd = sockets().get(path);
  sockets().delete(path);
  return fd;
}
