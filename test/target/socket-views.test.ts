/** What a guest at a socket sees when the socket has LUNs of its own, and one disk in several targets. */
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { parseDisk } from '../../src/target/disk-spec.ts';
import { Server, type TargetSpec } from '../../src/target/server.ts';
import { IscsiClient } from '../support/iscsi-client.ts';
import { execute, settle } from '../support/iscsi-commands.ts';
import { FrontEnd } from '../support/vhost-user/front-end.ts';
import { bootGuest, senseCode } from '../support/vhost-user/served.ts';

const silent = () => {};
const OPTIONS = {
  io: 'auto' as const,
  stateDirectory: undefined,
  log: { debug: silent, info: silent, warn: silent, error: silent },
};
const WRITE = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512) };
const READ_CAPACITY = { cdb: [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], dataInLength: 8 };
const WRITE_PROTECTED = 0x2700;

test('a socket with LUNs of its own shows them, under their numbers and write-protected', async (t) => {
  const folder = temporaryFolder();
  const path = (name: string) => join(folder.path, name);
  const initiator = 'naa.50014059876543ab';
  const mapped = [{ lun: 0, targetLun: 5, writeProtected: true }];
  const server = await Server.open(
    [
      {
        sockets: [
          { path: path('all'), role: 'listen' },
          { path: path('view'), role: 'listen', initiator, luns: mapped },
        ],
        luns: [
          { lun: 0, disk: parseDisk('ram:1M') },
          { lun: 5, disk: parseDisk('ram:4M') },
        ],
      },
    ],
    { ...OPTIONS, iscsi: undefined },
  );
  const [all, view] = await Promise.all(
    ['all', 'view'].map((name) => bootGuest(FrontEnd.connect(path(name)))),
  );
  t.is((await all.driver.execute(WRITE)).status, Status.GOOD);
  const { dataIn } = await view.driver.execute(READ_CAPACITY);
  t.is(Buffer.from(dataIn).readUInt32BE(0), 8191);
  const { status, sense } = await view.driver.execute(WRITE);
  t.is(status, Status.CHECK_CONDITION);
  t.is(senseCode(sense), WRITE_PROTECTED);
  t.true(server.targets[0].nexuses().some(({ initiatorPort }) => initiatorPort.name === initiator));
  all.leave();
  view.leave();
  await server.close();
  folder.remove();
});

test('an initiator of two targets with one disk is two to its reservations', async (t) => {
  const folder = temporaryFolder();
  const name = (i: number) => `iqn.2026-01.example.lunport:both-${i}`;
  const disk = parseDisk('ram:1M');
  const target = (i: number): TargetSpec => ({
    sockets: [{ path: join(folder.path, `${i}`), role: 'listen' }],
    luns: [{ lun: i, disk, name: 'one' }],
    iscsi: { name: name(i), acls: [], others: 'admitted', demo: false },
  });
  const server = await Server.open([target(0), target(1)], {
    ...OPTIONS,
    iscsi: {
      addresses: [{ host: '127.0.0.1', port: 0 }],
      target: { acls: [], others: 'refused', demo: false },
    },
  });
  t.teardown(async () => {
    await server.close();
    folder.remove();
  });
  const { port } = server.iscsi!.addresses[0];
  const [first, second] = await Promise.all(
    [0, 1].map(async (lun) => {
      const client = await IscsiClient.open(port);
      await client.login({ initiator: 'iqn.2026-01.example.lunport:host', target: name(lun) });
      await settle(client, lun);
      return client;
    }),
  );
  const register = { cdb: [0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: new Uint8Array(24).fill(1, 8, 16) };
  const reserve = { cdb: [0x5f, 1, 3, 0, 0, 0, 0, 0, 24, 0], dataOut: new Uint8Array(24).fill(1, 0, 8) };
  t.is((await execute(first, { ...register, lun: 0 })).status, Status.GOOD);
  t.is((await execute(first, { ...reserve, lun: 0 })).status, Status.GOOD);
  t.is((await execute(second, { ...WRITE, lun: 1 })).status, Status.RESERVATION_CONFLICT);
  t.is((await execute(first, { ...WRITE, lun: 0 })).status, Status.GOOD);
  first.socket.destroy();
  second.socket.destroy();
});
