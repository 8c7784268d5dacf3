import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { cached, cacheFolder } from '../../qemu/cache.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-cache-'));
process.env['LUNPORT_CACHE'] = folder;
test.after.always(() => rmSync(folder, { recursive: true }));

test('the folder is the one that LUNPORT_CACHE names', (t) => {
  t.is(cacheFolder(), folder);
});

test('of many who ask at once, one builds', async (t) => {
  let builds = 0;
  const build = async (path: string) => {
    builds++;
    await delay(50);
    await writeFile(path, 'built');
  };
  const paths = await Promise.all([cached('thing', build), cached('thing', build), cached('thing', build)]);
  t.is(builds, 1);
  t.deepEqual(new Set(paths), new Set([join(folder, 'thing')]));
});

test('a build that fails leaves nothing, and the next may try', async (t) => {
  const failing = async (path: string) => {
    await writeFile(path, 'half');
    throw new Error('no space left');
  };
  await t.throwsAsync(cached('half', failing), { message: 'no space left' });
  t.false(existsSync(join(folder, 'half')));
  t.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('.building')),
    [],
  );
  await cached('half', (path) => writeFile(path, 'whole'));
  t.true(existsSync(join(folder, 'half')));
});
