/** Very many connections from one place: those that never say what they want, and those that get to a disk. */
import type { TcpNetConnectOpts } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { Command } from '../../../src/fabrics/nbd/nbd-spec.ts';
import { NbdClient } from '../../support/nbd-client.ts';
import { openNbdServer, type TestNbdServer } from '../../support/nbd-server.ts';

const STRANGERS_OF_SOURCE = 128;
const MEMBERS_OF_SOURCE = 1024;

/** A server that also listens on TCP: for the crowd, on another address than for everybody else. */
async function serve(
  t: ExecutionContext,
): Promise<{ served: TestNbdServer; here: TcpNetConnectOpts; elsewhere: TcpNetConnectOpts }> {
  const served = await openNbdServer();
  t.teardown(() => served.close());
  const here = { host: '127.0.0.1', port: served.server.listen({ host: '127.0.0.1', port: 0 }) };
  return { served, here, elsewhere: { ...here, localAddress: '127.0.0.9' } };
}

async function reads(client: NbdClient): Promise<boolean> {
  client.request({ type: Command.READ, length: 512 });
  return (await client.simpleReply(512)).error === 0;
}

test.serial('connections that say nothing harm nobody, and their source keeps 128', async (t) => {
  const { served, here, elsewhere } = await serve(t);
  const member = await NbdClient.open(elsewhere);
  await member.go('simple');
  const crowd: NbdClient[] = [];
  for (let i = 0; i < 3 * STRANGERS_OF_SOURCE; i++) crowd.push(await NbdClient.open(elsewhere));
  for (const gone of crowd.slice(0, -STRANGERS_OF_SOURCE)) await gone.hungUp();
  t.regex(served.endings[0], /too many connections/);
  t.true(served.endings.length <= 10, 'nor do they fill the log');
  for (const still of crowd.slice(-STRANGERS_OF_SOURCE)) {
    await still.go('simple');
    t.true(await reads(still));
  }
  const other = await NbdClient.open(here);
  await other.go('simple');
  t.true(await reads(other));
  t.true(await reads(member), 'who had a disk before keeps it');
  for (const client of [...crowd, other, member]) client.close();
});

test.serial('a source has 1024 connections to disks, and others get in all the same', async (t) => {
  const { served, here, elsewhere } = await serve(t);
  const crowd: NbdClient[] = [];
  for (let i = 0; i < MEMBERS_OF_SOURCE; i++) {
    const client = await NbdClient.open(elsewhere);
    await client.go('simple');
    crowd.push(client);
  }
  const late = await NbdClient.open(elsewhere);
  await t.throwsAsync(late.go('simple'));
  t.true(served.endings.includes('there are too many connections already'));
  const other = await NbdClient.open(here);
  await other.go('simple');
  t.true(await reads(other));
  const [first] = crowd;
  t.true(await reads(first));
  first.close();
  const seen = served.endings.length;
  while (served.endings.length === seen) await new Promise((resolve) => setImmediate(resolve));
  const next = await NbdClient.open(elsewhere);
  await next.go('simple');
  t.true(await reads(next), 'there is room when one has gone');
  for (const client of [...crowd, other, next]) client.close();
});
