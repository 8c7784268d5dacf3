import test from 'ava';
import type { Initiator } from '../../../src/fabrics/loopback/initiator.ts';
import { EVENTS_MISSED, EventType, ResetReason } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { eventually, type Guest, Served, senseCode } from '../../support/vhost-user/served.ts';

interface SeenEvent {
  readonly event: number;
  readonly lun: number[];
  readonly reason: number;
}

function eventsOf({ driver }: Guest): SeenEvent[] {
  const seen: SeenEvent[] = [];
  driver.onEvent = (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    seen.push({
      event: view.getUint32(0, true),
      lun: [...bytes.subarray(4, 8)],
      reason: view.getUint32(12, true),
    });
  };
  return seen;
}

test('a LUN that appears and one that vanishes are told', async (t) => {
  const served = await Served.start();
  const guest = await served.boot({ eventBuffers: 4 });
  const seen = eventsOf(guest);
  served.lunMap.add(300, served.newDisk());
  served.lunMap.remove(300);
  await eventually(() => seen.length === 2);
  t.deepEqual(seen, [
    { event: EventType.TRANSPORT_RESET, lun: [1, 0, 0x41, 0x2c], reason: ResetReason.RESCAN },
    { event: EventType.TRANSPORT_RESET, lun: [1, 0, 0x41, 0x2c], reason: ResetReason.REMOVED },
  ]);
  await served.close();
});

test('a disk that changes its size is told', async (t) => {
  const served = await Served.start();
  const guest = await served.boot({ eventBuffers: 4 });
  const seen = eventsOf(guest);
  served.disk.capacityChanged();
  await eventually(() => seen.length === 1);
  t.deepEqual(seen, [{ event: EventType.PARAM_CHANGE, lun: [1, 0, 0, 0], reason: 0x092a }]);
  await served.close();
});

const OTHER = 'naa.5001405000000009';
const CLEAR_DISK = { cdb: [0, 0, 0, 0, 0, 0] };

/** PERSISTENT RESERVE OUT, with keys of one byte. */
function reserveOut(action: number, type: number, key: number, serviceActionKey: number) {
  const dataOut = new Uint8Array(24);
  dataOut[7] = key;
  dataOut[15] = serviceActionKey;
  return { cdb: [0x5f, action, type, 0, 0, 0, 0, 0, 24, 0], dataOut };
}
const REGISTER = 0;
const RESERVE = 1;
const RELEASE = 2;
const PREEMPT = 4;
const WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5;

const changes: readonly [string, number, (guest: Guest, other: Initiator) => Promise<void>][] = [
  [
    'mode parameters',
    0x012a,
    async (_, other) => {
      // The control mode page with another SWP.
      const { dataIn } = await other.send({ cdb: [0x1a, 0x08, 0x0a, 0, 255, 0], dataInLength: 255 });
      const dataOut = dataIn.slice();
      dataOut.fill(0, 0, 4);
      dataOut[4] &= 0x3f;
      dataOut[8] ^= 0x08;
      await other.send({ cdb: [0x15, 0x10, 0, 0, dataOut.length, 0], dataOut });
    },
  ],
  [
    'a reservation that is released',
    0x042a,
    async ({ driver }, other) => {
      await driver.execute(reserveOut(REGISTER, 0, 0, 1));
      await other.send(reserveOut(REGISTER, 0, 0, 2));
      await other.send(reserveOut(RESERVE, WRITE_EXCLUSIVE_REGISTRANTS_ONLY, 2, 0));
      await other.send(reserveOut(RELEASE, WRITE_EXCLUSIVE_REGISTRANTS_ONLY, 2, 0));
    },
  ],
  [
    'a registration that is preempted',
    0x052a,
    async ({ driver }, other) => {
      await driver.execute(reserveOut(REGISTER, 0, 0, 1));
      await driver.execute(reserveOut(RESERVE, WRITE_EXCLUSIVE_REGISTRANTS_ONLY, 1, 0));
      await other.send(reserveOut(REGISTER, 0, 0, 2));
      await other.send(reserveOut(PREEMPT, WRITE_EXCLUSIVE_REGISTRANTS_ONLY, 2, 1));
    },
  ],
];

for (const [what, reason, change] of changes) {
  test(`another initiator’s change is told beside its unit attention: ${what}`, async (t) => {
    const served = await Served.start();
    const guest = await served.boot({ eventBuffers: 4 });
    const seen = eventsOf(guest);
    const other = served.initiator(OTHER);
    await other.send(CLEAR_DISK);
    await change(guest, other);
    await eventually(() => seen.length === 1);
    t.deepEqual(seen, [{ event: EventType.PARAM_CHANGE, lun: [1, 0, 0, 0], reason }]);
    const { sense } = await guest.driver.execute(CLEAR_DISK);
    t.is(senseCode(sense), ((reason & 0xff) << 8) | (reason >> 8));
    await served.close();
  });
}

test('events without a buffer are reported as missed when one arrives', async (t) => {
  const served = await Served.start();
  const guest = await served.boot({ eventBuffers: 1 });
  const seen = eventsOf(guest);
  for (const lun of [1, 2, 3]) served.lunMap.add(lun, served.newDisk());
  await eventually(() => seen.length === 2);
  t.is(seen[0].lun[3], 1);
  t.is(seen[1].event, (EVENTS_MISSED | EventType.NO_EVENT) >>> 0);
  served.lunMap.remove(3);
  await eventually(() => seen.length === 3);
  t.deepEqual(seen[2], { event: EventType.TRANSPORT_RESET, lun: [1, 0, 0, 3], reason: ResetReason.REMOVED });
  await served.close();
});

test('a driver that did not ask hears nothing', async (t) => {
  const served = await Served.start();
  const guest = await served.boot({ eventBuffers: 2, features: 1n << 30n });
  const seen = eventsOf(guest);
  served.lunMap.add(1, served.newDisk());
  await guest.driver.execute({ cdb: [0, 0, 0, 0, 0, 0] });
  t.deepEqual(seen, []);
  await served.close();
});
