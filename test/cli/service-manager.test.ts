/** `lunport serve` under a service manager: sockets that it has for us, and what it is told. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { addon } from '../../src/native/addon.ts';
import { connectUnix } from '../../src/native/unix-socket.ts';
import { until } from '../native/support.ts';
import { ServiceManager, type Started } from '../support/service-manager.ts';
import { FrontEnd } from '../support/vhost-user/front-end.ts';

function manager(t: ExecutionContext): ServiceManager {
  const made = new ServiceManager();
  t.teardown(() => made.close());
  return made;
}

async function ready({ told, child, errors }: Started): Promise<void> {
  await until(() => told().includes('READY=1') || child.exitCode !== null);
  if (child.exitCode !== null) throw new Error(errors());
}

async function answers(socket: string): Promise<void> {
  const frontEnd = FrontEnd.connect(socket);
  await frontEnd.negotiate();
  frontEnd.close();
}

test('it is told when all sockets listen, and that the end has come', async (t) => {
  const services = manager(t);
  const socket = join(services.folder.path, 'own.sock');
  const service = await services.start(['ram:1M', '--socket', socket]);
  await ready(service);
  t.false(service.told().includes('STOPPING=1'));
  await answers(socket);
  t.is(await service.stop(), 0);
  await until(() => service.told().includes('STOPPING=1'));
});

for (const shards of [0, 1]) {
  test(`a socket that it listens on is served and left to it, with ${shards} shards`, async (t) => {
    const services = manager(t);
    const socket = services.listen('vm.sock');
    const control = services.listen('vm.sock.ctl');
    const service = await services.start(['ram:1M', '--socket', socket, '--shards', String(shards)]);
    await ready(service);
    await answers(socket);
    t.is(await service.stop(), 0);
    for (const path of [socket, control]) {
      t.true(existsSync(path));
      // Whoever comes now waits for the next process.
      addon.close(connectUnix(path));
    }
    const next = await services.start(['ram:1M', '--socket', socket]);
    await ready(next);
    await answers(socket);
  });
}

test('sockets that are meant for another process are not touched', async (t) => {
  const services = manager(t);
  const socket = services.listen('vm.sock');
  const service = await services.start(['ram:1M', '--socket', socket], { pid: 1 });
  await until(() => service.errors().includes(`Cannot listen on ${socket}`));
  t.false(service.told().includes('READY=1'));
});

test('a socket that nothing is served on is named in the log', async (t) => {
  const services = manager(t);
  const unused = services.listen('other.sock');
  const service = await services.start(['ram:1M', '--socket', services.listen('vm.sock')]);
  await ready(service);
  await until(() => service.errors().includes('nothing is served there'));
  t.true(service.errors().includes(unused));
  t.is(service.errors().match(/nothing is served there/g)?.length, 1);
});

test('--takeover does not take the service manager for an old lunport', async (t) => {
  const services = manager(t);
  const socket = services.listen('vm.sock');
  const service = await services.start(['ram:1M', '--socket', socket, '--takeover']);
  await ready(service);
  await answers(socket);
  t.is(await service.stop(), 0);
});
