/**
 * Who holds a lock that is in our way. Open file description locks name no process, so /proc is searched for one
 * that has the file open and locked; what belongs to another user or another machine is not found.
 */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';

const PROC = '/proc';

/** Such as 'qemu-system-x86 (process 4711)'; undefined when it cannot be found out. */
export function lockHolder(fd: number): string | undefined {
  const pid = holder(fd);
  if (pid === undefined) return undefined;
  if (pid === process.pid) return 'this lunport';
  return `${read(`${PROC}/${pid}/comm`).trim()} (process ${pid})`;
}

/** The process that has the file locked; undefined when there is none, or it cannot be found out. */
export function lockingProcess(path: string): number | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    return holder(fd);
  } finally {
    closeSync(fd);
  }
}

function holder(fd: number): number | undefined {
  const { dev, ino } = fstatSync(fd);
  for (const pid of list(PROC)) {
    if (!/^\d+$/.test(pid)) continue;
    for (const name of list(`${PROC}/${pid}/fd`)) {
      if (!isFile(`${PROC}/${pid}/fd/${name}`, dev, ino)) continue;
      if (/^lock:.*(OFDLCK|POSIX)/m.test(read(`${PROC}/${pid}/fdinfo/${name}`))) return Number(pid);
    }
  }
  return undefined;
}

/** Processes end, and others' are closed to us: neither is worth a message. */
function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function isFile(path: string, dev: number, ino: number): boolean {
  try {
    const stat = statSync(path);
    return stat.dev === dev && stat.ino === ino;
  } catch {
    return false;
  }
}
