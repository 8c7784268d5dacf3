/**
 * A program for detached.test.ts: asks for calls on a file where the system allows this process no further thread, and
 * prints their results, and whether the file is closed then, as JSON. RLIMIT_NPROC does not hold root, so it becomes
 * nobody.
 */
import { spawnSync } from 'node:child_process';
import { fstatSync, openSync } from 'node:fs';
import { Detached, DetachedCalls } from '../../src/native/detached.ts';

const NOBODY = 65534;

const fd = openSync('/dev/null', 'r');
if (process.getuid!() === 0) {
  process.setgid!(NOBODY);
  process.setuid!(NOBODY);
}
const limited = spawnSync('prlimit', ['--nproc=1', `--pid=${process.pid}`], { stdio: 'inherit' });
const calls = new DetachedCalls(fd);
const size = await calls.run(Detached.SIZE);
const close = await calls.run(Detached.CLOSE);
let closed = false;
try {
  fstatSync(fd);
} catch (error) {
  closed = (error as NodeJS.ErrnoException).code === 'EBADF';
}
console.log(JSON.stringify({ limited: limited.status, size, close, closed }));
