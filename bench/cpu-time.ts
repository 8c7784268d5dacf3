/** CPU time of another process, from proc(5). */
import { readFileSync } from 'node:fs';

/** USER_HZ: the unit of /proc/PID/stat, 100 on every architecture that Node.js runs on. */
export const TICKS_PER_SECOND = 100;

/** User and system time of all threads, the ended ones included, in ticks of 10 ms. */
export function cpuTicks(pid: number): number {
  return ticks(`/proc/${pid}/stat`);
}

/** Of one thread. */
export function threadTicks(pid: number, thread: string): number {
  return ticks(`/proc/${pid}/task/${thread}/stat`);
}

function ticks(path: string): number {
  const stat = readFileSync(path, 'latin1');
  // The command name stands in parentheses and may hold anything; the third field follows the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [utime, stime] = [fields[11], fields[12]];
  return Number(utime) + Number(stime);
}

export function cpuSeconds(pid: number): number {
  return cpuTicks(pid) / TICKS_PER_SECOND;
}
