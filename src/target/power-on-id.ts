/** Names the time since this machine's last power-on: what tells a restart of lunport from a loss of power. */
import { readFileSync } from 'node:fs';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** Undefined where the kernel does not tell; then every start counts as a power-on. */
export function powerOnId(): string | undefined {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim();
  } catch {
    return undefined;
  }
}
