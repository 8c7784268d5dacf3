import test from 'ava';
import { EVENTS_MISSED, EventType, ResetReason } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { eventually, type Guest, Served } from '../../support/vhost-user/served.ts';

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
