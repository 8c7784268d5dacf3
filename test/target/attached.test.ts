/** Attachments that the host lets go of while the server ends. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { unmountFuse } from '../../src/fabrics/fuse/fuse-mount.ts';
import { findAttachment } from '../../src/target/attachment-record.ts';
import { Server } from '../../src/target/server.ts';
import { luns } from '../support/luns.ts';
import { eventually } from '../support/vhost-user/served.ts';

const folder = temporaryFolder();
process.env['XDG_RUNTIME_DIR'] = folder.path;
test.after.always(() => folder.remove());

const quiet = () => {};

/** A server with the attachments `first` and `second`; `slow` ends when `open` was called. */
async function twoAttached(t: ExecutionContext, slow: string) {
  const server = await Server.open(
    [{ sockets: [{ path: join(folder.path, 'a.sock'), role: 'listen' }], luns: luns('ram:1M') }],
    {
      io: 'auto',
      stateDirectory: undefined,
      iscsi: undefined,
      log: { debug: quiet, info: quiet, warn: quiet, error: (text) => t.fail(text) },
    },
  );
  const [target] = server.targets;
  for (const name of ['first', 'second']) {
    const options = { kind: 'fuse', name, loop: false, log: server.options.log } as const;
    await server.attached.attach(target, 0, server.shard, options);
  }
  const names = () => server.attached.namesOf(target, 0);
  t.deepEqual(names(), ['first', 'second']);
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const disconnected: string[] = [];
  const disconnect = target.disconnect.bind(target);
  target.disconnect = async (name) => {
    if (name === slow) await opened;
    await disconnect(name);
    disconnected.push(name);
  };
  return { server, names, disconnected, open };
}

test.serial('one that has ended by itself while the server ends another is no defect', async (t) => {
  const { server, names, open } = await twoAttached(t, 'first');
  const second = findAttachment('second')!.path;
  const closed = server.close();
  await unmountFuse(second);
  await eventually(() => !names().includes('second'));
  open();
  await t.notThrowsAsync(closed);
  t.deepEqual(names(), []);
});

test.serial('one that is ending by itself is waited for, before its disk goes', async (t) => {
  const { server, names, disconnected, open } = await twoAttached(t, 'second');
  await unmountFuse(findAttachment('second')!.path);
  await eventually(() => findAttachment('second') === undefined);
  const order: string[] = [];
  const [target] = server.targets;
  const disconnectAll = target.disconnectAll.bind(target);
  target.disconnectAll = () => {
    order.push('the others');
    return disconnectAll();
  };
  const closed = server.close();
  await eventually(() => disconnected.includes('first'));
  order.push('let go');
  open();
  await closed;
  t.deepEqual(order, ['let go', 'the others']);
  t.deepEqual(names(), []);
});
