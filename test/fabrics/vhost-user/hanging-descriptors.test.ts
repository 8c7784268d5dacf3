/** Descriptors of files that never answer, in place of what the messages are for: not even closing them ends. */
import { openSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { FaultyFile } from '../../support/faulty-file.ts';
import { startServe } from '../../support/serve-process.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';
import {
  EMPTY,
  inflight,
  logBase,
  message,
  singleRegion,
  vringFd,
} from '../../support/vhost-user/messages.ts';

const PAGE = 4096;
const REGION = { guestAddress: 0, length: PAGE, userAddress: PAGE, mmapOffset: 0, fd: -1 };

const messages: Readonly<Record<string, Uint8Array>> = {
  'a kick': message(Request.SET_VRING_KICK, vringFd(0, true)),
  'a call': message(Request.SET_VRING_CALL, vringFd(0, true)),
  'an error': message(Request.SET_VRING_ERR, vringFd(0, true)),
  memory: message(Request.ADD_MEM_REG, singleRegion(REGION)),
  'the migration log': message(Request.SET_LOG_BASE, logBase(PAGE, 0)),
  'the in-flight buffer': message(Request.SET_INFLIGHT_FD, inflight(PAGE, 0, 1, 1)),
  'the back-end channel': message(Request.SET_BACKEND_REQ_FD, EMPTY),
  nothing: message(Request.SET_OWNER, EMPTY),
};

test('a descriptor that hangs, whatever it is sent for, keeps nobody else waiting', async (t) => {
  const folder = temporaryFolder();
  const path = (name: string) => join(folder.path, name);
  const file = await FaultyFile.start({ size: 1 << 20 });
  const serve = await startServe(['ram:1M', '+', 'ram:1M'], {
    socket: path('0'),
    serveArguments: ['--socket', path('1')],
  });
  // Not earlier: where a program is started the file is closed once, and a server that has no use for that says so.
  const fd = openSync(file.path, 'r+');
  const other = FrontEnd.connect(path('1'));
  try {
    await other.negotiate();
    await file.freeze();
    for (const [what, bytes] of Object.entries(messages)) {
      const frontEnd = FrontEnd.connect(path('0'));
      await frontEnd.getFeatures();
      await frontEnd.setProtocolFeatures(await frontEnd.getProtocolFeatures());
      frontEnd.sendRaw(bytes, [fd]);
      // It is answered, or has lost its connection.
      await frontEnd.getFeatures().catch(() => {});
      frontEnd.close();
      t.true((await other.getFeatures()) > 0n, what);
    }
  } finally {
    await file.close();
    addon.closeForeign(fd);
    other.close();
    await serve.kill();
    folder.remove();
  }
});
