/** Memory on file systems that may not answer. The file is nbdkit's, shown by nbdfuse. */
import { closeSync, openSync } from 'node:fs';
import test from 'ava';
import { checkSharedFile } from '../../../src/fabrics/vhost-user/shared-file.ts';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { FaultyFile } from '../../support/faulty-file.ts';
import { inflight, logBase, memoryTable, singleRegion } from '../../support/vhost-user/messages.ts';
import { Served } from '../../support/vhost-user/served.ts';

const SIZE = 1 << 20;

let file: FaultyFile;
test.before(async () => {
  file = await FaultyFile.start({ size: SIZE });
});
test.after.always(() => file.close());

test.serial('a file that does not answer is refused without being asked', (t) => {
  const fd = openSync(file.path, 'r+');
  file.hang();
  t.throws(() => checkSharedFile(fd, 'guest memory'), { message: /^guest memory lies on fuse.*use a memfd/ });
  // Closing it asks, and would never end.
  file.answer();
  closeSync(fd);
});

test.serial('memfds and files of local file systems are taken', (t) => {
  const memfd = addon.memfd('lunport-test', 4096);
  const local = openSync(process.execPath, 'r');
  t.notThrows(() => checkSharedFile(memfd, 'guest memory'));
  t.notThrows(() => checkSharedFile(local, 'guest memory'));
  addon.close(memfd);
  closeSync(local);
});

const region = { guestAddress: 0, length: 4096, userAddress: 0x7000_0000_0000, mmapOffset: 0, fd: -1 };
const messages: readonly [string, number, Uint8Array][] = [
  ['ADD_MEM_REG', Request.ADD_MEM_REG, singleRegion(region)],
  ['SET_MEM_TABLE', Request.SET_MEM_TABLE, memoryTable([region])],
  ['SET_LOG_BASE', Request.SET_LOG_BASE, logBase(4096, 0)],
  ['SET_INFLIGHT_FD', Request.SET_INFLIGHT_FD, inflight(SIZE, 0, 1, 128)],
];
for (const [name, request, payload] of messages) {
  test.serial(`${name} with a file on FUSE ends the connection with a reason`, async (t) => {
    const served = await Served.start();
    const frontEnd = served.connect();
    await frontEnd.negotiate();
    const fd = openSync(file.path, 'r+');
    await t.throwsAsync(frontEnd.request(request, payload, [fd]));
    await served.alone();
    t.regex(served.target.state.lastDisconnect!, /lies on fuse/);
    closeSync(fd);
    await served.close();
  });
}
