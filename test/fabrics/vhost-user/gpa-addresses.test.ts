/** GPA_ADDRESSES: the front-end has no addresses of its own, as QEMU 11.1. */
import test from 'ava';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import {
  IotlbPermission,
  IotlbType,
  ProtocolFeature,
  Request,
} from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { USUAL_FEATURES, USUAL_PROTOCOL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { GuestMemory } from '../../support/vhost-user/guest-memory.ts';
import { iotlb, singleRegion } from '../../support/vhost-user/messages.ts';
import { Served } from '../../support/vhost-user/served.ts';
import { VirtioScsiDriver } from '../../support/vhost-user/virtio-scsi-driver.ts';

const WRITE = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512).fill(0x5c) };
const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
/** An IOVA is guest-physical plus this. */
const IOVA = 0x40_0000_0000;

class PhysicalMemory extends GuestMemory {
  override userAddress(address: number): number {
    return address;
  }
}

for (const bit of [undefined, VirtioFeature.RING_PACKED]) {
  test(`rings are at guest-physical addresses, ${bit === undefined ? 'split' : 'packed'}`, async (t) => {
    const served = await Served.start();
    const frontEnd = served.connect();
    const memory = new PhysicalMemory([
      { guestAddress: 0, length: 0xa0000 },
      { guestAddress: 0x1_0000_0000, length: 0x40_0000 },
    ]);
    const features = USUAL_FEATURES | (bit === undefined ? 0n : featureSet(bit));
    await frontEnd.negotiate(features, USUAL_PROTOCOL_FEATURES | featureSet(ProtocolFeature.GPA_ADDRESSES));
    for (const region of memory.regions) {
      // QEMU says 0 of every region.
      await frontEnd.send(Request.ADD_MEM_REG, singleRegion({ ...region, userAddress: 0 }), {
        fds: [region.fd],
      });
    }
    const driver = await VirtioScsiDriver.start(frontEnd, memory);
    await driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
    t.is((await driver.execute(WRITE)).status, Status.GOOD);
    t.deepEqual((await driver.execute(READ)).dataIn, WRITE.dataOut);
    driver.close();
    frontEnd.close();
    memory.close();
    await served.close();
  });
}

test('behind an IOMMU, what an IOVA stands for is guest-physical', async (t) => {
  const served = await Served.start();
  const frontEnd = served.connect();
  const memory = new PhysicalMemory([{ guestAddress: 0, length: 0x40_0000 }]);
  const protocolFeatures = USUAL_PROTOCOL_FEATURES | featureSet(ProtocolFeature.GPA_ADDRESSES);
  await frontEnd.negotiate(USUAL_FEATURES | featureSet(VirtioFeature.ACCESS_PLATFORM), protocolFeatures);
  const [region] = memory.regions;
  await frontEnd.send(Request.ADD_MEM_REG, singleRegion({ ...region, userAddress: 0 }), { fds: [region.fd] });
  // The driver's IOVAs are the same as guest-physical addresses, but for one page that is elsewhere.
  const map = (iova: number, size: number, address: number) =>
    frontEnd.request(
      Request.IOTLB_MSG,
      iotlb(iova, size, address, IotlbPermission.READ_WRITE, IotlbType.UPDATE),
    );
  await map(0, region.length, 0);
  const driver = await VirtioScsiDriver.start(frontEnd, memory);
  await driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
  t.is((await driver.execute(WRITE)).status, Status.GOOD);
  const page = memory.allocate(4096, 4096);
  await map(IOVA, 4096, page);
  const request = memory.allocate(64);
  const response = memory.allocate(128);
  memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
  memory.bytes(request, 51).set(READ.cdb, 19);
  await driver.submit(2, [
    { address: request, length: 51, writable: false },
    { address: response, length: 108, writable: true },
    { address: IOVA, length: 512, writable: true },
  ]);
  t.deepEqual(memory.bytes(page, 512).slice(), WRITE.dataOut);
  driver.close();
  frontEnd.close();
  memory.close();
  await served.close();
});
