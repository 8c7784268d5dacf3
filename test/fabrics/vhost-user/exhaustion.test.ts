/** A process that has no descriptor or no memory left for a newcomer: it says so, and those who are there go on. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { type ServeProcess, startServe } from '../../support/serve-process.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';
import { bootGuest, eventually } from '../../support/vhost-user/served.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const MIB = 1 << 20;
/** More than is left, and sparse. */
const LARGE = [{ guestAddress: 0, length: 1024 * MIB }];
const UNLIMITED = 'unlimited';

const descriptors = ({ pid }: ServeProcess) => readdirSync(`/proc/${pid}/fd`).length;
const addressSpace = ({ pid }: ServeProcess) =>
  Number(/^VmSize:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) * 1024;

/** Soft limit only, so that it can be raised again. */
function limit({ pid }: ServeProcess, resource: string, value: number | string): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--${resource}=${value}:`], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
}

interface Row {
  readonly title: string;
  readonly resource: string;
  readonly value: (serve: ServeProcess) => number;
  readonly raised: number | string;
  readonly reason: RegExp;
}

const rows: readonly Row[] = [
  {
    title: 'a descriptor for the connection',
    resource: 'nofile',
    value: descriptors,
    raised: 1024,
    reason: /accept a connection on .*newcomer/,
  },
  {
    title: 'descriptors for the rings',
    resource: 'nofile',
    value: (serve) => descriptors(serve) + 3,
    raised: 1024,
    reason: /is gone: Cannot read from a vhost-user connection: too many open files/,
  },
  {
    title: 'memory to map what it shares',
    resource: 'as',
    value: (serve) => addressSpace(serve) + 256 * MIB,
    raised: UNLIMITED,
    reason: /guest memory/,
  },
];

for (const { title, resource, value, raised, reason } of rows) {
  test.serial(`without ${title}, a newcomer is told so, and others go on`, async (t) => {
    const folder = temporaryFolder();
    const path = join(folder.path, 'newcomer.sock');
    const serve = await startServe(['ram:1M', '+', 'ram:1M'], {
      serveArguments: ['--socket', '+', '--socket', path],
    });
    t.teardown(async () => {
      await serve.kill();
      folder.remove();
    });
    const { driver, leave } = await bootGuest(FrontEnd.connect(serve.socket));
    t.is((await driver.execute(READ)).status, Status.GOOD);
    limit(serve, resource, value(serve));
    const newcomer = FrontEnd.connect(path);
    const options = { memory: LARGE };
    const refused = bootGuest(newcomer, options).catch((error: unknown) => error);
    await eventually(() => reason.test(serve.errors()));
    t.is((await driver.execute(READ)).status, Status.GOOD, 'the other guest goes on');
    newcomer.close();
    await refused;
    limit(serve, resource, raised);
    const next = await bootGuest(FrontEnd.connect(path), options);
    t.is((await next.driver.execute(READ)).status, Status.GOOD, 'there is room again');
    t.is((await driver.execute(READ)).status, Status.GOOD);
    next.leave();
    leave();
    t.is(await serve.stop(), 0, serve.errors());
  });
}
