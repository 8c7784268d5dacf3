/** `lunport serve --takeover`: one process after the other on the same socket and disk. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { FileStateStore } from '../../src/target/file-state-store.ts';
import { takeOver } from '../../src/target/takeover.ts';
import { luns } from '../support/luns.ts';
import { startServe } from '../support/serve-process.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());
const path = (name: string) => join(folder.path, name);
const silent = () => {};
const LOG = { debug: silent, info: silent, warn: silent, error: silent };
const TAKEOVER = ['--takeover'];

test('the old process ends in good order before the new one opens the disk', async (t) => {
  const disk = `${path('a.img')},create,size=1M`;
  const socket = path('a.sock');
  const first = await startServe([disk], { socket });
  await t.throwsAsync(startServe([disk], { socket }), { message: /uses it/ });
  const second = await startServe([disk], { socket, serveArguments: TAKEOVER });
  t.is(await first.stop(), 0, 'it had ended by itself');
  t.not(first.pid, second.pid);
  t.true(existsSync(socket));
  t.is(await second.stop(), 0);
});

test('a process that has the disk on another socket ends, too; without one there is nothing to take over', async (t) => {
  const disk = `${path('b.img')},create,size=1M`;
  const first = await startServe([disk], { socket: path('b1.sock'), serveArguments: TAKEOVER });
  const second = await startServe([disk], { socket: path('b2.sock'), serveArguments: TAKEOVER });
  t.is(await first.stop(), 0);
  t.is(await second.stop(), 0);
});

test('nobody is ended for a disk that the new process could not open', async (t) => {
  const socket = path('c.sock');
  const first = await startServe(['ram:1M'], { socket });
  await t.throwsAsync(startServe([path('missing.img')], { socket, serveArguments: TAKEOVER }), {
    message: /missing\.img/,
  });
  t.true(existsSync(socket));
  t.is(await first.stop(), 0);
});

test('a process that is no lunport is not ended', async (t) => {
  const disk = path('d.img');
  writeFileSync(disk, new Uint8Array(1 << 20));
  const script =
    `const { lockImage } = await import('${new URL('../../src/native/file-lock.js', import.meta.url).href}');` +
    `const fd = (await import('node:fs')).openSync('${disk}', 'r+'); lockImage(fd, 'x', { write: true, share: false });` +
    "console.log('locked'); setInterval(() => {}, 1000);";
  const other = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => void other.kill());
  await new Promise((resolve) => other.stdout.once('data', resolve));
  const spec = { sockets: [{ path: path('d.sock'), role: 'listen' as const }], luns: luns(disk) };
  await t.throwsAsync(takeOver([spec], LOG), { code: 'not-lunport' });
  await delay(50);
  t.is(other.exitCode, null);
});

test('what a killed process left half written in the state directory is removed at the next start', async (t) => {
  const state = path('state');
  const store = new FileStateStore(state, 'SERIAL', false);
  await store.save('reservations', 'kept');
  const [directory] = readdirSync(state);
  await store.close();
  writeFileSync(join(state, directory, 'reservations.json.4711.1.tmp'), '{');
  const again = new FileStateStore(state, 'SERIAL', false);
  t.is(again.load('reservations'), 'kept');
  t.false(readdirSync(join(state, directory)).some((name) => name.endsWith('.tmp')));
  await again.close();
});
