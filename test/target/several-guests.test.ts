import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import type { LunportError } from '../../src/target/errors.ts';
import { initiatorName } from '../../src/target/served-target.ts';
import { Server } from '../../src/target/server.ts';
import { luns } from '../support/luns.ts';
import { OUT, type Out, type OutFields, parameterList, TYPES } from '../support/persistent-reservations.ts';
import { FrontEnd } from '../support/vhost-user/front-end.ts';
import { bootGuest, type Guest } from '../support/vhost-user/served.ts';

const quiet = () => {};
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

const WRITE = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512).fill(0x5a) };

async function reserveOut({ driver }: Guest, action: Out, fields: OutFields): Promise<number> {
  const dataOut = parameterList(fields);
  const { status } = await driver.execute({
    cdb: [0x5f, OUT[action], fields.type ?? 0, 0, 0, 0, 0, 0, dataOut.length, 0],
    dataOut,
  });
  return status;
}

async function write({ driver }: Guest): Promise<number> {
  return (await driver.execute(WRITE)).status;
}

test('guests at several sockets share a disk, and a reservation stays with the guest of its socket', async (t) => {
  const folder = temporaryFolder();
  const paths = ['one', 'two'].map((name) => join(folder.path, `${name}.sock`));
  const open = (order: readonly string[]) =>
    Server.open(
      [
        {
          sockets: order.map((path) => ({ path, role: 'listen' })),
          luns: luns(`${join(folder.path, 'disk.img')},create,size=1M`),
        },
      ],
      { io: 'auto', stateDirectory: join(folder.path, 'state'), iscsi: undefined, log },
    );
  const boot = () => Promise.all(paths.map((path) => bootGuest(FrontEnd.connect(path))));

  let server = await open(paths);
  const [one, two] = paths.map((path) => initiatorName({ path, role: 'listen' }));
  t.not(one, two);
  let guests = await boot();
  t.deepEqual(await Promise.all(guests.map(write)), [Status.GOOD, Status.GOOD]);
  t.is(await reserveOut(guests[0], 'register', { actionKey: 1, aptpl: true }), Status.GOOD);
  t.is(await reserveOut(guests[0], 'reserve', { key: 1, type: TYPES.WE }), Status.GOOD);
  t.is(await write(guests[1]), Status.RESERVATION_CONFLICT);
  for (const guest of guests) guest.leave();
  await server.close();

  server = await open(paths.toReversed());
  guests = await boot();
  t.is(await write(guests[0]), Status.GOOD, 'the holder after a restart, whatever the order of the sockets');
  t.is(await write(guests[1]), Status.RESERVATION_CONFLICT);
  t.is(await reserveOut(guests[1], 'registerAndIgnore', { actionKey: 2, aptpl: true }), Status.GOOD);
  t.is(await reserveOut(guests[1], 'preemptAndAbort', { key: 2, actionKey: 1, type: TYPES.WE }), Status.GOOD);
  t.is(await write(guests[1]), Status.GOOD);
  await guests[0].driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
  t.is(await write(guests[0]), Status.RESERVATION_CONFLICT);
  for (const guest of guests) guest.leave();
  await server.close();
  folder.remove();
});

test('an image is not served twice by one process, where each disk would have reservations of its own', async (t) => {
  const folder = temporaryFolder();
  const disk = `${join(folder.path, 'disk.img')},create,size=1M,share`;
  const target = (name: string, ...disks: string[]) => ({
    sockets: [{ path: join(folder.path, name), role: 'listen' as const }],
    luns: luns(disk, ...disks),
  });
  const options = { io: 'auto' as const, stateDirectory: undefined, iscsi: undefined, log };
  for (const targets of [[target('a'), target('b')], [target('a', disk)]]) {
    const error = await t.throwsAsync(Server.open(targets, options), { code: 'served-twice' });
    t.regex((error as LunportError).hint ?? '', /several sockets/);
  }
  await (await Server.open([target('a')], options)).close();
  folder.remove();
});
