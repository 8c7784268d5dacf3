/** A server in a worker thread: what goes in and what comes out by messages. */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { UsageError } from '../../../src/target/disk-spec.ts';
import { LunportError } from '../../../src/target/errors.ts';
import type { ServerOptions, TargetSpec } from '../../../src/target/server.ts';
import type { ServerHost } from '../../../src/target/server-host.ts';
import { openHost } from '../../../src/target/shards/sharded-host.ts';
import { luns } from '../../support/luns.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());
const path = (name: string) => join(folder.path, name);

/** Lines as `level: text`. */
function options(lines: string[] = []): ServerOptions {
  const log = (level: string) => (text: string) => void lines.push(`${level}: ${text}`);
  return {
    io: 'auto',
    stateDirectory: undefined,
    iscsi: undefined,
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
  };
}

/** Target i has the socket `<name>-<i>`. */
function targets(name: string, ...disks: string[][]): TargetSpec[] {
  return disks.map((texts, i) => ({
    sockets: [{ path: path(`${name}-${i}`), role: 'listen' }],
    luns: luns(...texts),
  }));
}

async function open(
  t: ExecutionContext,
  specs: readonly TargetSpec[],
  shards: number,
  lines?: string[],
): Promise<ServerHost> {
  const host = await openHost(specs, options(lines), shards);
  t.teardown(() => host.close());
  return host;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('what is served does not depend on where it runs, but for the shard', async (t) => {
  const specs = targets('same', ['ram:1M', 'null:1G,ro'], ['ram:2M'], ['null:1G']);
  const here = await openHost(specs, options(), 0);
  const expected = await here.describe();
  await here.close();
  const host = await open(t, specs, 2);
  const described = await host.describe();
  t.deepEqual(
    described.targets.map(({ shard }) => shard),
    [0, 1, 0],
  );
  t.deepEqual(described, {
    ...expected,
    targets: expected.targets.map((target, i) => ({ ...target, shard: [0, 1, 0][i] })),
  });
});

test('a shard that nothing was placed on is there and serves nothing', async (t) => {
  const host = await open(t, targets('spare', ['ram:1M']), 3);
  t.is((await host.describe()).targets.length, 1);
});

test('a disk that cannot be opened is the error that it is in the main thread, and nothing stays open', async (t) => {
  const specs = targets('refused', ['ram:1M'], [path('missing.img')]);
  const error = await t.throwsAsync(openHost(specs, options(), 2), { instanceOf: LunportError });
  const { code, object, message, hint } = error;
  await t.throwsAsync(openHost(specs, options(), 0), { message });
  t.deepEqual([code, object], ['ENOENT', path('missing.img')]);
  t.regex(hint!, /create,size=/);
  for (const { sockets } of specs) t.false(existsSync(sockets[0].path));
});

test('a portal to targets on several shards is refused; on one shard it is open', async (t) => {
  const specs = targets('portal', ['ram:1M'], ['ram:1M']);
  const nbd = {
    address: { path: path('portal.nbd') },
    certificates: undefined,
    keys: undefined,
    open: false,
  };
  const refused = await t.throwsAsync(openHost(specs, { ...options(), nbd }, 2), { instanceOf: UsageError });
  t.regex(refused.message, /--shards 1/);
  for (const [shards, served] of [
    [1, specs],
    [2, specs.slice(0, 1)],
  ] as const) {
    const host = await openHost(served, { ...options(), nbd }, shards);
    t.is((await host.describe()).nbd.length, served.length);
    await host.close();
  }
});

test('what a shard has to say is logged in the main thread, in order, with its level', async (t) => {
  const lines: string[] = [];
  const specs = targets('log', ['ram:1M']);
  await open(t, specs, 1, lines);
  const frontEnd = FrontEnd.connect(specs[0].sockets[0].path);
  frontEnd.sendRaw(new Uint8Array(12).fill(0xff));
  await frontEnd.closed;
  await until(() => lines.length === 2);
  t.regex(lines.join('\n'), /^info: .*log-0: .*connected\ninfo: .*log-0: .*is gone/);
});

test('closing twice, and closing all shards at once, leaves no socket', async (t) => {
  const specs = targets('closed', ['ram:1M'], ['ram:1M']);
  const host = await openHost(specs, options(), 2);
  t.true(specs.every(({ sockets }) => existsSync(sockets[0].path)));
  await Promise.all([host.close(), host.close()]);
  t.false(specs.some(({ sockets }) => existsSync(sockets[0].path)));
});

test.serial("a shard that ends closes no descriptor that has become somebody else's", async (t) => {
  const image = path('numbers.img');
  const host = await openHost(targets('numbers', [`${image},create,size=1M`]), options(), 1);
  const isImage = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === image;
    } catch {
      // The one that the list was read by.
      return false;
    }
  };
  const number = Number(readdirSync('/proc/self/fd').find(isImage));
  await host.call('remove', { lun: 0 });
  const opened: number[] = [];
  // The kernel gives the lowest number that is free.
  do opened.push(openSync('/dev/null', 'r'));
  while (opened.at(-1)! < number);
  t.is(opened.at(-1), number);
  await host.close();
  for (const fd of opened) t.true(fstatSync(fd).isCharacterDevice());
  for (const fd of opened) closeSync(fd);
});

test('a disk with `share` that another shard has is refused, where reservations would not hold', async (t) => {
  const image = path('shared.img');
  const specs = targets('shared', [`${image},create,size=1M,share`], ['ram:1M']);
  const host = await open(t, specs, 2);
  const here = specs[0].sockets[0].path;
  const add = (disk: string) => host.call('add', { target: specs[1].sockets[0].path, disk });
  await t.throwsAsync(add(`${image},share`), { code: 'served-twice', message: new RegExp(here) });
  await t.throwsAsync(add('nonsense,share='), { code: 'invalid-parameters' });
  await t.notThrowsAsync(add(`${path('other.img')},create,size=1M,share`));
});

test('an operation on everything asks all shards', async (t) => {
  const specs = targets('listed', ['ram:1M'], ['ram:2M'], ['ram:3M']);
  const host = await open(t, specs, 2);
  const { targets: listed } = (await host.call('list', {})) as { targets: { luns: { size: number }[] }[] };
  const sizes = listed.flatMap(({ luns }) => luns.map(({ size }) => size >> 20));
  t.deepEqual(
    sizes.toSorted((a, b) => a - b),
    [1, 2, 3],
  );
  await t.throwsAsync(host.call('nonsense', {}), { code: 'unknown-operation' });
  await t.throwsAsync(host.call('list', { extra: 1 }), { code: 'invalid-parameters' });
});
