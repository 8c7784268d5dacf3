import { setTimeout as sleep } from 'node:timers/promises';

/** A random time, so that what is interrupted is each time another thing; resolves with the milliseconds. */
export async function pause({ least, spread }: { least: number; spread: number }): Promise<number> {
  const ms = Math.round(least + Math.random() * spread);
  await sleep(ms);
  return ms;
}
