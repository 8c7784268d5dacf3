/** A kernel that takes only a part of what belongs together: borrowing a buffer, moving data, giving it back. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { Errno } from '../../src/native/errno.ts';
import { temporaryFolder, USABLE_MODES } from './support.ts';

const run = promisify(execFile);
const PROGRAM = new URL('../support/partial-uring/lent-read.js', import.meta.url).pathname;
const SOURCE = join('test', 'support', 'partial-uring', 'partial-uring-shim.c');

/** As in the program. */
const TIMES = 20;

const rows: [title: string, environment: Record<string, string>][] = [
  ['given back before the data has moved', {}],
  ['never given back', { LUNPORT_REFUSE: '1' }],
];
if (USABLE_MODES.includes('io_uring')) {
  for (const [title, environment] of rows) {
    test(`a buffer that is ${title}: the operation ends once, with what became of the data`, async (t) => {
      const shim = join(temporaryFolder(t), 'shim.so');
      await run('cc', ['-shared', '-fPIC', '-Wall', '-Wextra', '-Werror', '-o', shim, SOURCE, '-ldl']);
      const preload = [process.env.LD_PRELOAD, shim].filter(Boolean).join(':');
      const env = { ...process.env, ...environment, LD_PRELOAD: preload };
      const { stdout } = await run(process.execPath, [PROGRAM], { env, timeout: 60_000 });
      t.is(stdout, `${Errno.EFAULT}\n`.repeat(TIMES));
    });
  }
}
