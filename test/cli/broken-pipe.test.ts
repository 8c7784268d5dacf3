import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { ControlClient } from '../../src/target/control-client.ts';
import { FrontEnd } from '../support/vhost-user/front-end.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.js');

async function connected(path: string, child: ChildProcess): Promise<ControlClient> {
  for (;;) {
    try {
      return await ControlClient.connect(path);
    } catch (error) {
      if (child.exitCode !== null) throw error;
      await delay(20);
    }
  }
}

for (const options of [[], ['--json']]) {
  test(`serve ${options.join(' ')} goes on when nobody reads what it prints`, async (t) => {
    const folder = temporaryFolder();
    const socket = join(folder.path, 's');
    const args = [MAIN, 'serve', 'ram:1M', '--socket', socket, '--log-level', 'debug', ...options];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => child.kill('SIGKILL'));
    const exited = once(child, 'exit');
    child.stdout.destroy();
    child.stderr.destroy();
    const client = await connected(`${socket}.ctl`, child);
    for (let i = 0; i < 3; i++) {
      FrontEnd.connect(socket).close();
      await client.call('list');
    }
    await client.call('stop');
    client.close();
    t.deepEqual(await exited, [0, null]);
    folder.remove();
  });
}
