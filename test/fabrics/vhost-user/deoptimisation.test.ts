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

/**
 * While no ArrayBuffer of a process was ever detached, compiled code need not ask whether this one is. The first one ends
 * that for good: requests then cost up to half as much again.
 */
const PROTECTOR = /Invalidating protector cell ArrayBufferDetaching/;
const TRACE_PROTECTORS = '--trace-protector-invalidation';

test('V8 says so when the first ArrayBuffer is detached', async (t) => {
  const script = 'const b = new ArrayBuffer(8); structuredClone(b, { transfer: [b] })';
  const { stdout } = await run(process.execPath, [TRACE_PROTECTORS, '-e', script]);
  t.regex(stdout, PROTECTOR);
});

for (const serveArguments of [[], ['--shards', '1']]) {
  test.serial(`a guest that goes detaches no ArrayBuffer ${serveArguments.join(' ')}`.trim(), async (t) => {
    t.timeout(60_000);
    const nodeArguments = [TRACE_PROTECTORS];
    const server = await startServe([`ram:${DISK_MEBIBYTES}M`], { nodeArguments, serveArguments });
    const seen: string[] = [];
    for (let guest = 0; guest < 3; guest++) {
      const load = await openBurstLoad(server.socket, DISK_MEBIBYTES * MEBIBYTE, 128);
      await load.drive(1000);
      // The guests before this one have gone. At its end the process detaches what is left.
      seen.push(...server.otherLines.filter((line) => PROTECTOR.test(line)));
      await load.close();
    }
    await server.stop();
    t.deepEqual(seen, []);
  });
}
