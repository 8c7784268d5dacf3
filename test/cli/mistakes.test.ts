/** What people get wrong is told with what failed, why, and what to do. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.js');

const rows: readonly (readonly [
  title: string,
  args: readonly string[],
  status: number,
  message: RegExp,
  hint: RegExp,
])[] = [
  [
    'a socket where a file is',
    ['serve', 'ram:1M', '--socket', 'file'],
    1,
    /Cannot listen on .*file: a file or folder/,
    /another path/,
  ],
  [
    'a socket where a folder is',
    ['serve', 'ram:1M', '--socket', 'folder'],
    1,
    /Cannot listen on .*folder: a file or/,
    /another path/,
  ],
  [
    'a qcow2 image of an odd size',
    ['serve', 'image.qcow2', '--socket', 's'],
    1,
    /is a qcow2 image/,
    /qemu-img convert/,
  ],
  [
    'memory that QEMU would not take',
    ['serve', 'ram:1M', '--memory', '1Q'],
    2,
    /--memory: .* 4G .*"1Q"/,
    /^/,
  ],
  ['a socket that nobody serves', ['list', 'nobody.sock'], 1, /no such file/, /"lunport list" shows/],
  ['a path in circles', ['list', 'loop/a.sock'], 1, /too many symbolic links/, /circle/],
];

for (const [title, args, status, message, hint] of rows) {
  test(`${title} is told`, (t) => {
    const folder = temporaryFolder();
    const { path } = folder;
    writeFileSync(join(path, 'file'), '');
    writeFileSync(join(path, 'image.qcow2'), `QFI\xfb${'.'.repeat(1000)}`, 'latin1');
    mkdirSync(join(path, 'folder'));
    symlinkSync('loop', join(path, 'loop'));
    const env = { ...process.env, XDG_RUNTIME_DIR: path, XDG_STATE_HOME: path };
    const told = spawnSync(process.execPath, [MAIN, ...args], { cwd: path, env, encoding: 'utf8' });
    folder.remove();
    t.is(told.status, status, told.stderr);
    const [said, advice = ''] = told.stderr.split('\n  hint: ');
    t.regex(said, message);
    t.regex(advice, hint);
    t.notRegex(said, /^\s+at /m);
  });
}
