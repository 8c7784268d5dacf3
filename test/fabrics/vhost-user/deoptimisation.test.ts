/**
 * V8 compiles the data path once and keeps what it compiled. Code that it throws away and compiles again, since a value
 * came in another form than ever before, costs milliseconds each time and shows up in no other test.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { openBurstLoad } from '../../support/burst-load.ts';
import { startServe } from '../../support/serve-process.ts';

const run = promisify(execFile);
const MEBIBYTE = 1 << 20;
const DISK_MEBIBYTES = 64;
const REQUESTS = 300_000;
/**
 * The first time on a seldom way costs one; what a request does again and again shows up every time. So one quiet run
 * out of so many, the first of them the warm-up.
 */
const ATTEMPTS = 6;
/** In what --trace-deopt prints. */
const BAILOUT = /bailout \(kind: deopt/;

test('V8 says so when it throws compiled code away', async (t) => {
  const script = `
    const add = (a) => a + 1;
    %PrepareFunctionForOptimization(add);
    add(1);
    %OptimizeFunctionOnNextCall(add);
    add(2);
    add('3');
  `;
  const { stdout } = await run(process.execPath, ['--allow-natives-syntax', '--trace-deopt', '-e', script]);
  t.regex(stdout, BAILOUT);
});

for (const [disk, options] of [
  ['ram', []],
  ['null', []],
  ['ram', ['--poll-us', '50']],
] as const) {
  const title = `${REQUESTS} requests to ${disk}: ${options.join(' ')} deoptimise nothing once it is warm`;
  test.serial(title.replace(':  ', ': '), async (t) => {
    t.timeout(120_000);
    const server = await startServe([`${disk}:${DISK_MEBIBYTES}M`], {
      nodeArguments: ['--trace-deopt'],
      serveArguments: options,
    });
    const bailouts = () => server.otherLines.filter((line) => BAILOUT.test(line));
    const load = await openBurstLoad(server.socket, DISK_MEBIBYTES * MEBIBYTE, 128);
    let bailoutsSeen: string[] = [];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const before = bailouts().length;
      await load.drive(REQUESTS);
      bailoutsSeen = bailouts().slice(before);
      if (bailoutsSeen.length === 0) break;
    }
    await load.close();
    await server.stop();
    t.deepEqual(bailoutsSeen, []);
  });
}
