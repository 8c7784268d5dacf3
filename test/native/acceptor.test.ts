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
