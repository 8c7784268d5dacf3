/** The in-flight buffer as a whole: whoever made it, and whatever was known of the rings then. */
import test from 'ava';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { GuestMemory } from '../../support/vhost-user/guest-memory.ts';
import { inflight } from '../../support/vhost-user/messages.ts';
import { Served } from '../../support/vhost-user/served.ts';
import { VirtioScsiDriver } from '../../support/vhost-user/virtio-scsi-driver.ts';

const PACKED = USUAL_FEATURES | (1n << BigInt(VirtioFeature.RING_PACKED));
const read10 = (lba: number) => ({ cdb: [0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0], dataInLength: 512 });
const write10 = (lba: number, fill: number) => ({
  cdb: [0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0],
  dataOut: new Uint8Array(512).fill(fill),
});

test('the in-flight buffer may be made before the rings are known to be packed, as QEMU 7.2 does it', async (t) => {
  const served = await Served.start();
  const memory = new GuestMemory([{ guestAddress: 0, length: 16 << 20 }]);
  const frontEnd = served.connect();
  await frontEnd.negotiate(USUAL_FEATURES);
  const { payload, fds } = await frontEnd.request(Request.GET_INFLIGHT_FD, inflight(0, 0, 3, 128));
  await frontEnd.send(Request.SET_INFLIGHT_FD, payload, { fds });
  addon.close(fds[0]);
  await frontEnd.setFeatures(PACKED);
  await frontEnd.shareMemory(memory);
  const driver = await VirtioScsiDriver.start(frontEnd, memory);
  await driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
  t.is((await driver.execute(write10(2, 0x5a))).status, Status.GOOD);
  t.is((await driver.execute(read10(2))).dataIn[511], 0x5a);
  driver.close();
  frontEnd.close();
  memory.close();
  await served.close();
});

test('an in-flight buffer that was made for split rings is refused for packed ones', async (t) => {
  const served = await Served.start();
  const memory = new GuestMemory([{ guestAddress: 0, length: 16 << 20 }]);
  const frontEnd = served.connect();
  await frontEnd.negotiate(PACKED);
  const { payload, fds } = await frontEnd.request(Request.GET_INFLIGHT_FD, inflight(0, 0, 3, 128));
  t.is(payload.length, 24);
  // 16 bytes and 16 for each entry, at multiples of 64.
  await frontEnd.send(Request.SET_INFLIGHT_FD, inflight(3 * 2112, 0, 3, 128), { fds });
  addon.close(fds[0]);
  await frontEnd.shareMemory(memory);
  await t.throwsAsync(VirtioScsiDriver.start(frontEnd, memory));
  frontEnd.close();
  memory.close();
  await served.close();
});
