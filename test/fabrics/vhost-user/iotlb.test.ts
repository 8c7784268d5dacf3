/** An IOMMU in front of the device: its addresses mean nothing but what the front-end says. */
import test from 'ava';
import {
  BackendRequest,
  IotlbPermission,
  IotlbType,
  MessageFlags,
  Request,
} from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex, VirtioScsiResponse } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { type FrontEnd, readU64, USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { GuestMemory } from '../../support/vhost-user/guest-memory.ts';
import { iotlb, memoryTable, message, u64 } from '../../support/vhost-user/messages.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';
import { VirtioScsiDriver } from '../../support/vhost-user/virtio-scsi-driver.ts';

const PAGE = 4096;
const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0], dataInLength: 4096 };
const WRITE = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0], dataOut: new Uint8Array(4096).fill(0x77) };

/** Guest addresses are what the driver uses, so here they are IOVAs; rings have them too. */
class IovaMemory extends GuestMemory {
  override userAddress(address: number): number {
    return address;
  }
}

/** A guest behind an IOMMU that maps page by page, and only what it is asked for. */
class IommuGuest {
  readonly misses: { iova: number; permission: number }[] = [];
  /** Pages that the IOMMU does not let the device reach. */
  readonly forbidden = new Set<number>();
  permission: number = IotlbPermission.READ_WRITE;
  readonly frontEnd: FrontEnd;
  readonly memory = new IovaMemory([
    { guestAddress: 0x10_0000, length: 0x40_0000 },
    { guestAddress: 0x8_0000_0000, length: 0x40_0000 },
  ]);
  driver!: VirtioScsiDriver;

  constructor(served: Served) {
    this.frontEnd = served.connect();
  }

  async boot(packed = false): Promise<void> {
    const { frontEnd, memory } = this;
    const bits = [VirtioFeature.ACCESS_PLATFORM, ...(packed ? [VirtioFeature.RING_PACKED] : [])];
    await frontEnd.negotiate(bits.reduce((set, bit) => set | (1n << BigInt(bit)), USUAL_FEATURES));
    // The guest addresses of regions are of no use with an IOMMU: wrong ones show who uses them.
    const regions = memory.regions.map((region) => ({
      ...region,
      guestAddress: region.guestAddress + 2 ** 44,
    }));
    const fds = regions.map(({ fd }) => fd);
    await frontEnd.send(Request.SET_MEM_TABLE, memoryTable(regions), { fds });
    const channel = await frontEnd.openBackendChannel();
    channel.onFrame = (frame) => {
      const view = new DataView(frame.payload.buffer, frame.payload.byteOffset);
      const iova = Number(view.getBigUint64(0, true));
      this.misses.push({ iova, permission: frame.payload[24] });
      const answered = this.answer(iova).catch(() => false);
      void answered.then((found) => {
        channel.send(
          message(BackendRequest.IOTLB_MSG, u64(found ? 0 : 1), MessageFlags.VERSION | MessageFlags.REPLY),
        );
      });
    };
    this.driver = await VirtioScsiDriver.start(frontEnd, memory);
    await this.driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
  }

  /** Sends an UPDATE for the page of `iova`, if there is one. */
  async answer(iova: number): Promise<boolean> {
    const page = Math.floor(iova / PAGE) * PAGE;
    const region = this.memory.regions.find(
      ({ guestAddress, length }) => page >= guestAddress && page < guestAddress + length,
    );
    if (region === undefined || this.forbidden.has(page)) return false;
    const user = region.userAddress + page - region.guestAddress;
    const update = iotlb(page, PAGE, user, this.permission, IotlbType.UPDATE);
    const { payload } = await this.frontEnd.request(Request.IOTLB_MSG, update);
    return readU64(payload) === 0n;
  }

  async invalidate(iova: number, size: number): Promise<void> {
    await this.frontEnd.request(Request.IOTLB_MSG, iotlb(iova, size, 0, 0, IotlbType.INVALIDATE));
  }

  close(): void {
    this.driver.close();
    this.frontEnd.close();
    this.memory.close();
  }
}

for (const packed of [false, true]) {
  test(`rings, requests and data are found by asking, ${packed ? 'packed' : 'split'}`, async (t) => {
    const served = await Served.start();
    const guest = new IommuGuest(served);
    await guest.boot(packed);
    t.is((await guest.driver.execute(WRITE)).status, Status.GOOD);
    t.deepEqual((await guest.driver.execute(READ)).dataIn, WRITE.dataOut);
    const asked = guest.misses.length;
    t.true(asked > 1);
    // The buffers are the same again.
    t.is((await guest.driver.execute(READ)).status, Status.GOOD);
    t.is(guest.misses.length, asked, 'nothing is asked twice');
    const results = await Promise.all(Array.from({ length: 32 }, () => guest.driver.execute(READ)));
    t.true(results.every(({ status }) => status === Status.GOOD));
    guest.close();
    await served.close();
  });
}

test('what the IOMMU does not map fails that request only', async (t) => {
  const served = await Served.start();
  const guest = new IommuGuest(served);
  await guest.boot();
  const { memory, driver } = guest;
  const data = memory.allocate(2 * PAGE, PAGE);
  guest.forbidden.add(data + PAGE);
  const request = memory.allocate(64);
  const response = memory.allocate(128);
  memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
  memory.bytes(request, 51).set([0x28, 0, 0, 0, 0, 0, 0, 0, 16, 0], 19);
  await driver.submit(QueueIndex.FIRST_REQUEST, [
    { address: request, length: 51, writable: false },
    { address: response, length: 108, writable: true },
    { address: data, length: 2 * PAGE, writable: true },
  ]);
  t.is(memory.bytes(response, 12)[11], VirtioScsiResponse.FAILURE);
  t.is((await driver.execute(READ)).status, Status.GOOD);
  guest.close();
  await served.close();
});

test('a page that may only be read is not written to', async (t) => {
  const served = await Served.start();
  const guest = new IommuGuest(served);
  await guest.boot();
  const { memory, driver } = guest;
  const data = memory.allocate(PAGE, PAGE);
  memory.bytes(data, PAGE).fill(0x11);
  guest.permission = IotlbPermission.READ;
  await guest.answer(data);
  guest.permission = IotlbPermission.READ_WRITE;
  const request = memory.allocate(64);
  const response = memory.allocate(128);
  memory.bytes(request, 51).fill(0).set([1, 0, 0x40, 0]);
  memory.bytes(request, 51).set([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 19);
  await driver.submit(QueueIndex.FIRST_REQUEST, [
    { address: request, length: 51, writable: false },
    { address: response, length: 108, writable: true },
    { address: data, length: 512, writable: true },
  ]);
  t.is(memory.bytes(response, 12)[11], VirtioScsiResponse.FAILURE);
  t.true(memory.bytes(data, PAGE).every((byte) => byte === 0x11));
  guest.close();
  await served.close();
});

test('an invalidation waits for the requests that run, and then nothing is known any more', async (t) => {
  const served = await Served.start();
  const guest = new IommuGuest(served);
  await guest.boot();
  await guest.driver.execute(READ);
  served.backstore.hold = true;
  const read = guest.driver.execute(READ);
  await eventually(() => served.backstore.held.length === 1);
  let done = false;
  const invalidated = guest.invalidate(0, 0).then(() => {
    done = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.false(done);
  served.backstore.hold = false;
  served.backstore.release();
  await invalidated;
  t.is((await read).status, Status.GOOD);
  const before = guest.misses.length;
  t.is((await guest.driver.execute(READ)).status, Status.GOOD);
  t.true(guest.misses.length > before);
  guest.close();
  await served.close();
});

test('events wait for their buffer to be mapped', async (t) => {
  const served = await Served.start();
  const guest = new IommuGuest(served);
  await guest.boot();
  let events = 0;
  guest.driver.onEvent = () => {
    events++;
  };
  guest.driver.addEventBuffer();
  served.lunMap.add(1, served.newDisk());
  await eventually(() => events === 1);
  t.is(events, 1);
  guest.close();
  await served.close();
});

const refused: readonly [string, Uint8Array, RegExp][] = [
  [
    'an update outside of the shared memory',
    iotlb(0, PAGE, 0x1234_0000, 3, IotlbType.UPDATE),
    /outside of the shared/,
  ],
  [
    'an update that runs out of the shared memory',
    iotlb(0, 2 ** 40, 0x7f5a_0010_0000, 3, IotlbType.UPDATE),
    /outside/,
  ],
  ['a message of a type that only we may send', iotlb(0, PAGE, 0, 3, IotlbType.MISS), /type 1/],
];

for (const [what, payload, reason] of refused) {
  test(`${what} ends the connection`, async (t) => {
    const served = await Served.start();
    const guest = new IommuGuest(served);
    await guest.boot();
    await t.throwsAsync(guest.frontEnd.request(Request.IOTLB_MSG, payload));
    await served.alone();
    t.regex(served.target.state.lastDisconnect!, reason);
    guest.close();
    await served.close();
  });
}
