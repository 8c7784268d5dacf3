/**
 * How a process has a file open, from /proc. A target of the page cache that writes with O_DIRECT takes pages away
 * from all others, since they share the file: what is then measured is the disk.
 */
import { constants, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';

/** Whether the process has the file open with O_DIRECT. */
export function opensDirect(pid: number, file: string): boolean {
  const folder = `/proc/${pid}`;
  const path = realpathSync(file);
  return readdirSync(`${folder}/fd`).some((fd) => {
    try {
      if (readlinkSync(`${folder}/fd/${fd}`) !== path) return false;
      const [, flags] = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`${folder}/fdinfo/${fd}`, 'utf8'))!;
      return (parseInt(flags, 8) & constants.O_DIRECT) !== 0;
    } catch {
      return false; // closed since it was listed
    }
  });
}
