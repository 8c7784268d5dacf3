/** When a driver hears of the chains of one round: as they are done, or all at once when it has to be woken. */
import test from 'ava';
import { Histogram } from '../../../bench/histogram.ts';
import { openLoadDevice } from '../../../bench/load-device.ts';
import { RequestSequence } from '../../../bench/pattern.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const DEPTH = 32;
const PORTION = 8;
const PATTERN = { name: '4k', requestBytes: 4096, sequential: false, readPercentage: 100 };
const REQUEST_RING = 2;

test('a driver that wants no signal is shown chains while others are served', async (t) => {
  const served = await Served.start();
  const { socketPath, backstore } = served;
  const options = { pattern: PATTERN, queues: 1, depth: DEPTH, indirect: false };
  const device = await openLoadDevice({ socket: socketPath, device: 'scsi', ...options });
  const [queue] = device.queues;
  const histogram = new Histogram();
  queue.start(new RequestSequence(PATTERN, backstore.byteLength), 0);
  // The first time it is signalled in any case; after the second it is known that it does not want to be.
  for (let round = 0; round < 2; round++) {
    await eventually(() => queue.ready);
    if (round === 0) queue.pass(0, histogram, true, false);
  }
  const shown: boolean[] = [];
  const start = backstore.start.bind(backstore);
  backstore.start = (operation) => {
    shown.push(queue.ready);
    start(operation);
  };
  queue.pass(0, histogram, true, false);
  await eventually(() => shown.length === DEPTH);
  t.deepEqual(
    shown,
    Array.from({ length: DEPTH }, (_, i) => i >= PORTION),
  );
  await eventually(() => {
    queue.pass(0, histogram, true, true);
    return queue.inFlight === 0;
  });
  t.is(queue.failed, 0);
  await device.close();
  await served.close();
});

test('a driver that sleeps is signalled once for all', async (t) => {
  const served = await Served.start();
  const { driver } = await served.boot();
  const signals = () =>
    served.target.state.frontEnd!.rings.find(({ index }) => index === REQUEST_RING)!.signals;
  const read = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0], dataInLength: 4096 };
  await driver.execute(read);
  const before = signals();
  await Promise.all(Array.from({ length: DEPTH }, () => driver.execute(read)));
  t.is(signals() - before, 1);
  await served.close();
});
