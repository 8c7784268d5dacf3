/** What `npm pack` makes is whole: unpacked elsewhere, with the dependencies beside it, it serves disks. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'ava';

test('an installed package serves a disk, as a command and as a library', (t) => {
  t.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'lunport-package-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const run = (cwd: string, program: string, ...rest: string[]) =>
    execFileSync(program, rest, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

  run('.', process.execPath, 'tools/prebuild.mjs');
  run('.', 'npm', 'pack', '--ignore-scripts', '--pack-destination', folder);
  const archive = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  t.truthy(archive);
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, 'lunport'), { recursive: true });
  run(folder, 'tar', '-xzf', archive!, '--strip-components=1', '-C', join(modules, 'lunport'));
  for (const name of readdirSync('node_modules')) {
    if (!name.startsWith('.')) symlinkSync(resolve('node_modules', name), join(modules, name));
  }

  const main = join(modules, 'lunport', 'dist', 'src', 'cli', 'main.js');
  const socket = join(folder, 'disk.sock');
  t.regex(
    run(folder, process.execPath, main, 'serve', 'ram:1M', '--socket', socket, '--run', 'echo it runs'),
    /it runs/,
  );
  const program = "import('lunport').then(({ LocalTarget }) => console.log(typeof LocalTarget.open))";
  t.is(run(folder, process.execPath, '-e', program), 'function\n');
});
