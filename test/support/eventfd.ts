/** What a hostile owner does to an eventfd that it has given away. */
import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';

/** Clears O_NONBLOCK, for everybody who has the descriptor: libuv does so for a child's standard input. */
export function makeBlocking(fd: number): void {
  spawnSync('true', { stdio: [fd, 'ignore', 'ignore'] });
}

/** Brings the counter of an empty eventfd to its maximum. */
export function fillEventfd(fd: number, counted = 0): void {
  const most = new Uint8Array(8).fill(0xff);
  most[0] = 0xfe - counted;
  writeSync(fd, most);
}
