import { execFile } from 'node:child_process';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { LunportError } from '../../src/target/errors.ts';
import type { NbdOptions } from '../../src/target/nbd-options.ts';
import { Server } from '../../src/target/server.ts';
import { luns } from '../support/luns.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());
const path = (name: string) => join(folder.path, name);
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

let targets = 0;

function open(
  disks: readonly string[],
  nbd: Partial<NbdOptions> & Pick<NbdOptions, 'address'>,
): Promise<Server> {
  const specs = [
    {
      sockets: [{ path: path(`target-${targets++}.sock`), role: 'listen' as const }],
      luns: luns(...disks),
    },
  ];
  const options = { certificates: undefined, keys: undefined, open: false, ...nbd };
  return Server.open(specs, { io: 'auto', stateDirectory: undefined, iscsi: undefined, nbd: options, log });
}

async function size(uri: string): Promise<number> {
  return Number((await promisify(execFile)('nbdinfo', ['--size', uri])).stdout);
}

test('every disk has a name, and the first one is the default', async (t) => {
  mkdirSync(path('other'));
  const files = [`${path('a.img')},create,size=1M`, `${path('other/a.img')},create,size=2M`];
  const socket = path('names.nbd');
  const server = await open([...files, 'ram:3M'], { address: { path: socket } });
  t.teardown(() => server.close());
  t.deepEqual(
    server.nbd?.uris,
    ['a', 'a-1', 'ram'].map((name) => `nbd+unix:///${name}?socket=${socket}`),
  );
  const sizes = await Promise.all([...server.nbd!.uris, `nbd+unix:///?socket=${socket}`].map(size));
  t.deepEqual(
    sizes.map((bytes) => bytes >> 20),
    [1, 2, 3, 1],
  );
  t.is(statSync(socket).mode & 0o777, 0o600);
});

test('a loopback address needs no more than a port', async (t) => {
  const server = await open(['ram:1M'], { address: { host: '127.0.0.1', port: 0 } });
  t.teardown(() => server.close());
  const [uri] = server.nbd!.uris;
  t.regex(uri, /^nbd:\/\/127\.0\.0\.1:\d+\/ram$/);
  t.is(await size(uri), 1 << 20);
});

const refusals: [title: string, options: Partial<NbdOptions>, code: string][] = [
  ['an open door', { address: { host: '0.0.0.0', port: 0 } }, 'open-door'],
  ['certificates that are not there', { certificates: '/nonexistent' }, 'tls-files'],
  ['keys that are not there', { keys: '/nonexistent' }, 'tls-files'],
  ['an address that is not ours', { address: { host: '192.0.2.1', port: 1 }, open: true }, 'EADDRNOTAVAIL'],
  ['a folder that is not there', { address: { path: '/nonexistent/x' } }, 'ENOENT'],
];
for (const [title, options, code] of refusals) {
  test(`${title}: ${code}, and nothing stays open`, async (t) => {
    const address = { path: path(`${code}.nbd`) };
    await t.throwsAsync(open(['ram:1M'], { address, ...options }), { instanceOf: LunportError, code });
  });
}

test('keys open the door of any address', async (t) => {
  const keys = path('keys.psk');
  writeFileSync(keys, `alice:${'ab'.repeat(32)}\n`);
  const server = await open(['ram:1M'], { address: { host: '0.0.0.0', port: 0 }, keys });
  t.teardown(() => server.close());
  const uri = server.nbd!.uris[0].replace('//0.0.0.0', '//alice@127.0.0.1');
  t.is(await size(`${uri}?tls-psk-file=${keys}`), 1 << 20);
});
