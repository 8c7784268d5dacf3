/** The service manager that started this process, systemd mostly: what it is told, and which sockets it has for us. */
import { inheritedPaths } from '../native/inherited-sockets.ts';
import { notifySupervisor } from '../native/supervisor.ts';
import type { Log } from './server.ts';

/** 'READY=1', 'STOPPING=1' and such (sd_notify(3)). Whoever cannot be told costs a warning. */
export function tellSupervisor(message: string, log: Log): void {
  try {
    notifySupervisor(message);
  } catch (error) {
    log.warn((error as Error).message);
  }
}

/** A guest that connects to a socket which nobody here serves would wait for ever. */
export function warnOfUnusedSockets(used: ReadonlySet<string>, log: Log): void {
  for (const path of inheritedPaths()) {
    if (!used.has(path)) log.warn(`${path}: a socket was handed over, but nothing is served there`);
  }
}
