import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { LunportError } from '../../src/target/errors.ts';
import { FileStateStore } from '../../src/target/file-state-store.ts';

test.beforeEach((t) => {
  t.context = mkdtempSync(join(tmpdir(), 'lunport-state-'));
});
test.afterEach.always((t) => rmSync(t.context as string, { recursive: true, force: true }));

test('what was saved is there for the next process', async (t) => {
  const first = new FileStateStore(t.context as string, 'serial');
  await first.save('reservations', '{"a":1}');
  await first.close();
  t.is(new FileStateStore(t.context as string, 'serial').load('reservations'), '{"a":1}');
});

test('nothing was saved: nothing is loaded', (t) => {
  t.is(new FileStateStore(t.context as string, 'serial').load('reservations'), undefined);
});

test('a directory that cannot be had is told with its name and what to do', (t) => {
  const file = join(t.context as string, 'file');
  writeFileSync(file, '');
  const error = t.throws<LunportError>(() => new FileStateStore(file, 'serial'), {
    instanceOf: LunportError,
    message: /Cannot keep reservations in .*file\/serial: not a directory/,
  });
  t.truthy(error?.hint);
});

test('saves keep their order and leave no temporary files, readable by the owner only', async (t) => {
  const store = new FileStateStore(t.context as string, 'serial');
  await Promise.all(Array.from({ length: 50 }, (_, i) => store.save('pages', String(i))));
  t.is(store.load('pages'), '49');
  t.deepEqual(readdirSync(join(t.context as string, 'serial')), ['lock', 'pages.json']);
  t.is(statSync(join(t.context as string, 'serial', 'pages.json')).mode & 0o777, 0o600);
});

test('a serial number cannot leave the directory', async (t) => {
  await new FileStateStore(t.context as string, '../../etc').save('pages', 'x');
  t.deepEqual(readdirSync(t.context as string), ['%2E%2E%2F%2E%2E%2Fetc']);
});

test('a save that fails says so, and the next one works', async (t) => {
  const store = new FileStateStore(t.context as string, 'serial');
  writeFileSync(join(t.context as string, 'file'), '');
  rmSync(join(t.context as string, 'serial'), { recursive: true });
  await t.throwsAsync(store.save('pages', 'x'), { code: 'ENOENT' });
  new FileStateStore(t.context as string, 'serial');
  await store.save('pages', 'y');
  t.is(store.load('pages'), 'y');
});

test('a directory in use is refused, unless both users share it', async (t) => {
  const base = t.context as string;
  const alone = new FileStateStore(base, 'serial');
  t.throws(() => new FileStateStore(base, 'serial'), {
    code: 'state-in-use',
    message: /serial number serial/,
  });
  t.throws(() => new FileStateStore(base, 'serial', true), { code: 'state-in-use' });
  await alone.close();
  const first = new FileStateStore(base, 'serial', true);
  const second = new FileStateStore(base, 'serial', true);
  await Promise.all([first.save('pages', 'one'), second.save('pages', 'two')]);
  t.regex(first.load('pages')!, /^(one|two)$/);
  await first.close();
  await second.close();
});
