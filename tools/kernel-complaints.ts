/** What a guest's kernel says of a request that failed or took too long. */
import type { Guest } from '../qemu/guest.ts';

const COMPLAINT =
  /I\/O error|Medium Error|Hardware Error|timing out|abort|reset failed|device reset|rejecting I\/O|offline|BUG:|hung task|blocked for more/i;
/** Every restart of lunport is a power-on, which the disk reports by that very name. */
const POWER_ON = /Power-on or device reset occurred/;

/** Lines of the kernel's log, since somebody cleared it. */
export async function complaints(guest: Guest): Promise<string[]> {
  const { output } = await guest.exec('dmesg');
  return output.split('\n').filter((line) => COMPLAINT.test(line) && !POWER_ON.test(line));
}
