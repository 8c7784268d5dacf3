/** `--shards` with what else changes the data path: spinning, virtio block devices, one process after the other. */
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { BlkStatus, BlkType } from '../../../src/fabrics/vhost-user/virtio-blk-spec.ts';
import { pattern } from '../../support/block-cdbs.ts';
import { startServe } from '../../support/serve-process.ts';
import { BlkGuest } from '../../support/vhost-user/blk-guest.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';
import { bootGuest } from '../../support/vhost-user/served.ts';

const LENGTH = 4096;
const ADDRESS = [0, 0, 0, 0, 0, 0, 0, LENGTH / 512, 0];

/** Writes where there is something to write, or reads. Status 0 is good. */
type Transfer = (socket: string, data?: Uint8Array) => Promise<{ status: number; dataIn: Uint8Array }>;

const scsi: Transfer = async (socket, data) => {
  const guest = await bootGuest(FrontEnd.connect(socket));
  const result = await guest.driver.execute(
    data === undefined
      ? { cdb: [0x28, ...ADDRESS], dataInLength: LENGTH }
      : { cdb: [0x2a, ...ADDRESS], dataOut: data },
  );
  guest.leave();
  return result;
};

const blk: Transfer = async (socket, data) => {
  const guest = await BlkGuest.connect(socket);
  const result = await guest.execute(
    data === undefined ? { type: BlkType.IN, dataInLength: LENGTH } : { type: BlkType.OUT, dataOut: data },
  );
  await guest.close();
  return result;
};

const rows: readonly [options: string[], transfer: Transfer][] = [
  [['--poll-us', '200'], scsi],
  [['--blk'], blk],
  [['--blk', '--poll-us', '200'], blk],
];

for (const [options, transfer] of rows) {
  test(`--shards with ${options.join(' ')}: data stay over takeovers to and from shards`, async (t) => {
    t.timeout(120_000);
    const folder = temporaryFolder();
    t.teardown(() => folder.remove());
    const path = (name: string) => join(folder.path, name);
    const sockets = [path('a.sock'), path('b.sock')];
    const disks = [`${path('a.img')},create,size=1M`, '+', `${path('b.img')},create,size=1M`];
    const start = async (shards: number) => {
      const serve = await startServe(disks, {
        socket: sockets[0],
        serveArguments: ['--socket', sockets[1], '--shards', String(shards), '--takeover', ...options],
      });
      t.teardown(() => serve.kill());
      t.deepEqual(
        serve.targets.map(({ shard }) => shard),
        shards === 0 ? [undefined, undefined] : [0, shards - 1],
      );
      return serve;
    };
    let serve = await start(2);
    const data = sockets.map((_, i) => pattern(LENGTH, i + 1));
    for (const [i, socket] of sockets.entries()) t.is((await transfer(socket, data[i])).status, BlkStatus.OK);
    for (const shards of [1, 0, 2]) {
      const before = serve;
      serve = await start(shards);
      t.is(await before.exited, 0);
      const found = await Promise.all(sockets.map((socket) => transfer(socket)));
      for (const [i, { status, dataIn }] of found.entries()) {
        t.is(status, BlkStatus.OK);
        t.deepEqual(Buffer.from(dataIn), Buffer.from(data[i]));
      }
    }
    t.is(await serve.stop(), 0);
  });
}
