import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { parameterList } from '../../support/persistent-reservations.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';
import { bootGuest, eventually, Served } from '../../support/vhost-user/served.ts';

const REGISTER = { cdb: [0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: parameterList({ actionKey: 7 }) };
const READ_KEYS = { cdb: [0x5e, 0, 0, 0, 0, 0, 0, 0, 64, 0], dataInLength: 64 };

test('a front-end that listens is found when it comes, and again when it comes back', async (t) => {
  const folder = temporaryFolder();
  const socketPath = join(folder.path, 'front-end.sock');
  const served = await Served.start({ socketPath, role: 'connect' });
  t.true(served.log.some((line) => /waits for a front-end/.test(line)));

  const first = await bootGuest(await FrontEnd.accept(socketPath));
  t.is((await first.driver.execute(REGISTER)).status, Status.GOOD);
  first.leave();
  await served.alone();

  const second = await bootGuest(await FrontEnd.accept(socketPath));
  const { dataIn } = await second.driver.execute(READ_KEYS);
  t.is(dataIn[7], 8, 'the registration is still there: it is the same initiator');
  t.is(dataIn[15], 7);
  t.is(served.target.state.role, 'connect');
  t.is(served.target.state.connects, 2);
  t.is(
    served.log.filter((line) => /waits for a front-end/.test(line)).length,
    1 + Number(served.log.length > 4),
  );
  second.leave();
  await served.close();
  folder.remove();
});

test('a front-end that hangs up at once is asked ever more rarely', async (t) => {
  const folder = temporaryFolder();
  const socketPath = join(folder.path, 'front-end.sock');
  const served = await Served.start({ socketPath, role: 'connect' });
  const times: number[] = [];
  for (let i = 0; i < 4; i++) {
    const frontEnd = await FrontEnd.accept(socketPath);
    times.push(performance.now());
    frontEnd.close();
  }
  t.true(times[3] - times[2] >= 100, `asked again after ${times[3] - times[2]} ms`);
  await eventually(() => served.target.state.frontEnd === undefined);
  await served.close();
  folder.remove();
});
