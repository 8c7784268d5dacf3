/** Nothing is allocated per PDU on the way from the socket to the backstore and back. */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import test from 'ava';
import { startServe } from '../../support/serve-process.ts';

const run = promisify(execFile);
/** MiB. The young generation of the traced process: a scavenge means that this much was allocated. */
const SEMI_SPACE = 16;
const REQUESTS = 150_000;
/**
 * Collections allowed. Turns of the event loop allocate some hundred bytes each, shared by the requests of a batch. A
 * task or a buffer per request would show as dozens.
 */
const WORK = [
  { name: 'reads', flags: [], limit: 2 },
  { name: 'writes', flags: ['-w'], limit: 2 },
];

for (const { name, flags, limit } of WORK) {
  test.serial(`${REQUESTS} ${name} cause no garbage collection of their own`, async (t) => {
    t.timeout(120_000);
    const server = await startServe(['ram:64M'], {
      nodeArguments: ['--trace-gc', `--min-semi-space-size=${SEMI_SPACE}`],
      serveArguments: ['--iscsi', '127.0.0.1:0'],
    });
    const drive = (count: number) =>
      run('qemu-img', [
        ...[
          'bench',
          '-f',
          'raw',
          '-t',
          'none',
          '-c',
          String(count),
          '-d',
          '64',
          '-s',
          '4096',
          '-S',
          '1593344',
        ],
        ...flags,
        server.iscsi[0],
      ]);
    // "(reduce)" is V8 giving memory back some time after a start; nothing that was allocated asks for it.
    const collections = () =>
      server.otherLines.filter((line) => /Scavenge|Mark-Compact (?!\(reduce\))/.test(line)).length;
    await drive(REQUESTS / 5);
    const before = collections();
    await drive(REQUESTS);
    await delay(100);
    const during = server.otherLines.slice(before);
    t.true(collections() - before <= limit, during.join('\n'));
    t.log(`${collections() - before} collections`);
    await server.stop();
  });
}
