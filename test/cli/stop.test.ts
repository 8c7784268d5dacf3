/** `lunport stop` and `log-level`, as somebody at a shell uses them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { packageRoot } from '../../qemu/package-root.ts';
import { startServe } from '../support/serve-process.ts';

const MAIN = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
const lunport = (...args: string[]) => promisify(execFile)(process.execPath, [MAIN, ...args]);

test('a running lunport logs as it is told, and ends with its sockets gone', async (t) => {
  const serve = await startServe(['ram:1M']);
  await lunport('log-level', serve.socket, 'silent');
  await t.throwsAsync(lunport('log-level', serve.socket, 'loud'), { code: 2 });
  await lunport('stop', serve.socket);
  t.false(existsSync(serve.socket));
  t.is(await serve.exited, 0);
  await t.throwsAsync(lunport('stop', serve.socket), { code: 1, message: /Cannot ask/ });
});
