import { openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { runProgram } from '../../src/native/program.ts';
import { FaultyFile } from '../support/faulty-file.ts';

const sh = (script: string, descriptor?: number) =>
  runProgram('sh', ['-c', script, 'sh', 'an argument'], { environment: { GREETING: 'hello' }, descriptor });

test('a program has its arguments, variables, descriptor and nothing to read; what it says comes back', async (t) => {
  const given = addon.memfd('given', 4096);
  t.deepEqual(await sh('echo "$1" $GREETING; cat; readlink /proc/self/fd/3 >&2; exit 5', given), {
    status: 5,
    signal: undefined,
    output: 'an argument hello\n',
    errors: '/memfd:given (deleted)\n',
  });
  addon.close(given);
});

test('it has no other descriptor of ours, and the signals of a new process', async (t) => {
  const other = addon.memfd('other', 4096);
  const { output: files } = await sh('ls -l /proc/self/fd');
  t.regex(files, /\/dev\/null/);
  t.notRegex(files, /memfd:other/);
  addon.close(other);
  const { output: signals } = await runProgram('grep', ['-E', '^Sig(Blk|Ign)', '/proc/self/status']);
  // The first 31, among them SIGPIPE, which Node ignores. glibc sets two of its own.
  const [blocked, ignored] = signals
    .match(/[0-9a-f]{16}/g)!
    .map((mask) => Number.parseInt(mask.slice(8), 16));
  t.is(blocked, 0);
  t.is(ignored & 0x7fffffff, 0);
});

test('it is told which signal ended a program', async (t) => {
  const { status, signal } = await sh('kill -9 $$');
  t.is(status, undefined);
  t.is(signal, 'SIGKILL');
});

test('what is not there, or is no program, is an error', async (t) => {
  await t.throwsAsync(async () => runProgram('no-such-program', []), { code: 'ENOENT' });
  await t.throwsAsync(async () => runProgram('/etc/passwd', []), { code: 'ENOENT' });
});

test('it is started while a file of ours hangs, and nobody waits but the program', async (t) => {
  const file = await FaultyFile.start({ size: 1 << 20 });
  try {
    const fd = openSync(file.path, 'r+');
    await file.freeze();
    const end = sh('echo started');
    // This thread goes on: else nobody would thaw the file.
    await delay(1);
    file.thaw();
    t.is((await end).output, 'started\n');
    addon.close(fd);
  } finally {
    await file.close();
  }
});
