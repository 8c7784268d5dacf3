/** CPU time of another process, from proc(5). */
import { readdirSync, readFileSync } from 'node:fs';

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

/**
 * For times as short as a turn of `make bench`: exact to the kernel's last look at a thread that runs, 1 to 4 ms, where
 * ticks are exact to 10 ms. Of threads that end in between their last part is not counted.
 */
export class CpuStopwatch {
  private readonly pid: number;
  private readonly before: ReadonlyMap<string, number>;

  constructor(pid: number) {
    this.pid = pid;
    this.before = threadSeconds(pid);
  }

  /** Since the construction. */
  seconds(): number {
    let sum = 0;
    for (const [thread, now] of threadSeconds(this.pid)) sum += now - (this.before.get(thread) ?? 0);
    return sum;
  }
}

/** Seconds each thread ran; of the whole process, where the kernel was built without such counters. */
function threadSeconds(pid: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [nanoseconds] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ');
      found.set(thread, Number(nanoseconds) / 1e9);
    } catch {
      // It ended just now, or has no such file.
    }
  }
  return found.size > 0 ? found : new Map([['all', cpuSeconds(pid)]]);
}
