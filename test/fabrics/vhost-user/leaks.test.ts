/** What is left behind: nothing. In a file of its own, since it counts what the whole process has. */
import { statSync } from 'node:fs';
import test from 'ava';
import { Status } from '../../../src/scsi/status-spec.ts';
import { resources, Served } from '../../support/vhost-user/served.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };

test.serial('the socket is gone after the end, and so is every descriptor and mapping', async (t) => {
  const idle = await Served.start();
  await idle.close();
  const before = resources();
  const served = await Served.start();
  for (let i = 0; i < 3; i++) {
    const { driver, leave } = await served.boot({ requestQueues: 4 });
    t.is((await driver.execute(READ)).status, Status.GOOD);
    leave();
    await served.alone();
  }
  await served.close();
  t.deepEqual(resources(), before);
  t.throws(() => statSync(served.socketPath), { code: 'ENOENT' });
});
