/** `lunport stop` and `log-level`, as somebody at a shell uses them. */
import { existsSync } from 'node:fs';
import test from 'ava';
import { lunport } from '../support/lunport-command.ts';
import { startServe } from '../support/serve-process.ts';

test('a running lunport logs as it is told, and ends with its sockets gone', async (t) => {
  const serve = await startServe(['ram:1M']);
  await lunport('log-level', serve.socket, 'silent');
  await t.throwsAsync(lunport('log-level', serve.socket, 'loud'), { code: 2 });
  await lunport('stop', serve.socket);
  t.false(existsSync(serve.socket));
  t.is(await serve.exited, 0);
  await t.throwsAsync(lunport('stop', serve.socket), { code: 1, message: /Cannot ask/ });
});
