/**
 * The end of a process by a defect that nobody catches. Node tells of it and leaves, but waits for the worker threads
 * first, and these for their disks: for ever, where one hangs. Nothing runs on the main thread meanwhile, so the
 * kernel is asked to put an end to it.
 */
import { addon } from '../native/addon.ts';
import type { Log } from './server.ts';

/** Seconds that an orderly end may take. */
const PATIENCE = 5;

export function boundUncaughtEnd(log: Log): void {
  process.once('uncaughtExceptionMonitor', () => {
    const error = addon.killAfter(PATIENCE);
    const rest = error === 0 ? `; what still runs in ${PATIENCE} seconds is killed` : '';
    log.error(`lunport ends by a defect of its own, which Node tells below${rest}`);
  });
}
