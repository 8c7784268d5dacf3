import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import { Acceptor } from '../../src/native/acceptor.ts';
import { addon } from '../../src/native/addon.ts';
import { someTurns, temporaryFolder, until } from './support.ts';

test('a socket that cannot accept, whatever the reason, complains once in a while and does not keep the loop busy', async (t) => {
  const path = join(temporaryFolder(t), 'socket');
  const listener = addon.unixListen(path, 1);
  const peer = addon.unixConnect(path);
  // No listener, and readable for ever.
  const connected = addon.unixAccept(listener);
  addon.send(peer, new Uint8Array(1), 0, 1, new Int32Array(0), 0);
  const complaints: string[] = [];
  const acceptor = new Acceptor(connected, 'the test', {
    connected: () => t.fail(),
    acceptFailed: ({ message }) => void complaints.push(message),
  });
  t.teardown(() => {
    acceptor.close();
    for (const fd of [peer, listener]) addon.close(fd);
  });
  await until(() => complaints.length > 0);
  await someTurns();
  // One, unless this machine is very slow; and not one for each turn of the loop.
  t.true(complaints.length <= 3, `${complaints.length} complaints`);
  t.regex(complaints[0], /accept a connection on the test/);
  await until(() => complaints.length >= 2);
});

test('a process with nothing else to do than to accept goes on when it cannot', (t) => {
  const url = (name: string) => JSON.stringify(new URL(`../../src/native/${name}.js`, import.meta.url).href);
  const path = JSON.stringify(join(temporaryFolder(t), 'socket'));
  const script = `
    const { addon } = await import(${url('addon')});
    const { Acceptor } = await import(${url('acceptor')});
    const listener = addon.unixListen(${path}, 1);
    const peer = addon.unixConnect(${path});
    const connected = addon.unixAccept(listener);
    addon.send(peer, new Uint8Array(1), 0, 1, new Int32Array(0), 0);
    let complaints = 0;
    const acceptor = new Acceptor(connected, 'the test', {
      connected: () => {},
      acceptFailed: () => {
        console.log(++complaints);
        if (complaints === 2) acceptor.close();
      },
    });`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  t.is(child.stdout, '1\n2\n', child.stderr);
  t.is(child.status, 0, 'closed while it waits, it keeps the process no longer');
});
