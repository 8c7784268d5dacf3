/**
 * `--takeover`: the lunport that has our sockets or disks is asked to end, which answers what runs and writes down the
 * rest, and awaited. What it would not survive to find out afterwards, such as a missing disk, is looked at before.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { addon } from '../native/addon.ts';
import { systemError } from '../native/errno.ts';
import { inheritedPaths } from '../native/inherited-sockets.ts';
import { lockingProcess } from '../native/lock-holder.ts';
import type { DiskSpec } from './disk-spec.ts';
import { LunportError } from './errors.ts';
import type { Log, TargetSpec } from './server.ts';

/** Milliseconds. A disk that does not answer may keep the old process for some time. */
const PATIENCE = 60_000;
const LOOK_EVERY = 10;
/** What Node is told to run. */
const LUNPORT = /(^|\/)(lunport|cli\/main\.js)$/;

/**
 * Resolves when nobody is in the way. `partial`: a missing disk costs its LUNs only. Throws LunportError, before
 * anybody was asked to end where that is possible.
 */
export async function takeOver(specs: readonly TargetSpec[], log: Log, partial = false): Promise<void> {
  if (!partial) for (const { luns } of specs) for (const { disk } of luns) checkUsable(disk);
  const processes = inTheWay(specs);
  for (const pid of processes) checkLunport(pid);
  for (const pid of processes) {
    log.info(`takes over from process ${pid}`);
    end(pid);
  }
  const patienceEnds = performance.now() + PATIENCE;
  for (const pid of processes) {
    while (isAlive(pid)) {
      if (performance.now() > patienceEnds) throw stays(pid);
      await sleep(LOOK_EVERY);
    }
  }
}

function inTheWay(specs: readonly TargetSpec[]): ReadonlySet<number> {
  const found = new Set<number>();
  // There it is the service manager that listens, for us.
  const inherited = inheritedPaths();
  for (const { sockets, luns } of specs) {
    for (const { path, role } of sockets) {
      const pid = role === 'listen' && !inherited.includes(path) ? listener(path) : undefined;
      if (pid !== undefined) found.add(pid);
    }
    for (const { disk } of luns) {
      const { kind, name, share, readOnly } = disk;
      const pid = kind === 'file' && !share && !readOnly ? lockingProcess(name) : undefined;
      if (pid !== undefined) found.add(pid);
    }
  }
  return found;
}

/** Who listens on a socket says the kernel. */
function listener(path: string): number | undefined {
  const fd = addon.unixConnect(path);
  if (fd < 0) return undefined;
  const peer = addon.peerCredentials(fd);
  addon.close(fd);
  return typeof peer === 'number' ? undefined : peer.pid;
}

function checkUsable({ kind, name, readOnly, create }: DiskSpec): void {
  if (kind !== 'file') return;
  try {
    accessSync(name, readOnly ? constants.R_OK : constants.R_OK | constants.W_OK);
  } catch (error) {
    const { code, errno = 0 } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' || !create) throw systemError(errno, 'open', name, error);
  }
}

/** Nobody but a `lunport serve` is to be ended. */
function checkLunport(pid: number): void {
  const [, ...words] = commandLine(pid);
  if (words.some((word) => LUNPORT.test(word)) && words.includes('serve')) return;
  throw new LunportError({
    code: 'not-lunport',
    object: `process ${pid}`,
    message: `Cannot take over: process ${pid} (${commandLine(pid)[0] ?? 'of somebody else'}) is no lunport serve`,
    hint: 'stop it by hand, or use other sockets and disks',
  });
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    const { code, errno = 0 } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH') throw systemError(errno, 'end', `process ${pid}`, error);
  }
}

/** A process that has ended has no open files, also while its parent has not looked at it yet. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function stays(pid: number): LunportError {
  return new LunportError({
    code: 'takeover-timeout',
    object: `process ${pid}`,
    message: `Process ${pid} was asked to end, and has not within ${PATIENCE / 1000} seconds`,
    hint: `see what its disks wait for; kill -9 ${pid} loses nothing that was acknowledged`,
  });
}
