import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { type PolledRing, RingPoller, RingWatch } from '../../../src/fabrics/vhost-user/ring-poller.ts';
import { IoEngine } from '../../../src/native/io-engine.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const READ_10 = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0];
/** Far longer than anybody would spin, so that a busy machine does not make a quick driver a slow one. */
const LIMIT_MICROSECONDS = 150_000;
const QUICK = 1;
const SLOW = 300;

class CountingRing implements PolledRing {
  looks = 0;
  readonly ready = true;
  busy = false;
  readonly watch: RingWatch;

  constructor(poller: RingPoller) {
    this.watch = new RingWatch(this, poller);
  }

  process(): void {
    this.looks++;
  }

  /** A request that comes `after` milliseconds and is answered at once. */
  async request(after: number): Promise<void> {
    await sleep(after);
    this.watch.worked(0);
    this.watch.shown();
  }
}

test.serial('a ring is looked at while its driver comes back quickly, and then no more', async (t) => {
  const engine = new IoEngine();
  const ring = new CountingRing(new RingPoller(engine, LIMIT_MICROSECONDS));
  await ring.request(SLOW);
  t.false(ring.watch.active, 'nobody knows yet whether it is quick');
  await ring.request(QUICK);
  t.true(ring.watch.active);
  await sleep(3);
  t.true(ring.looks > 10);
  await sleep(SLOW);
  t.false(ring.watch.active);
  const { looks } = ring;
  await sleep(SLOW);
  t.is(ring.looks, looks);
  engine.close();
});

test.serial('a ring whose driver takes its time is never looked at', async (t) => {
  const engine = new IoEngine();
  const ring = new CountingRing(new RingPoller(engine, LIMIT_MICROSECONDS));
  for (let i = 0; i < 3; i++) await ring.request(SLOW);
  t.is(ring.looks, 0);
  engine.close();
});

/** A driver that waits for its disk: the ring is looked at, and its request is out. */
async function waiting(engine: IoEngine, patience: number): Promise<CountingRing> {
  const ring = new CountingRing(new RingPoller(engine, LIMIT_MICROSECONDS, patience));
  while (!ring.watch.active) await ring.request(QUICK);
  await sleep(QUICK);
  ring.busy = true;
  ring.watch.worked(0);
  return ring;
}

test.serial('a disk that has something to do is waited for longer than its driver', async (t) => {
  const engine = new IoEngine();
  const ring = await waiting(engine, 60_000);
  await sleep(SLOW);
  t.true(ring.watch.active);
  ring.busy = false;
  while (ring.watch.active) await sleep(QUICK);
  t.pass();
  engine.close();
});

test.serial('a disk that takes longer is not', async (t) => {
  const engine = new IoEngine();
  const ring = await waiting(engine, 1);
  while (ring.watch.active) await sleep(QUICK);
  t.true(ring.busy);
  engine.close();
});

test.serial('of several rings each is let go for itself', async (t) => {
  const engine = new IoEngine();
  const poller = new RingPoller(engine, LIMIT_MICROSECONDS);
  const rings = [0, 1, 2].map(() => new CountingRing(poller));
  for (const ring of rings) await ring.request(0);
  for (let elapsed = 0; elapsed < SLOW; elapsed += 10) {
    await Promise.all(rings.slice(1).map((ring) => ring.request(10)));
  }
  t.deepEqual(
    rings.map((ring) => ring.watch.active),
    [false, true, true],
  );
  await sleep(SLOW);
  t.true(rings.every((ring) => !ring.watch.active));
  engine.close();
});

test.serial('a driver that is quick needs few kicks, and one that was away is heard again', async (t) => {
  const served = await Served.start({ pollMicroseconds: LIMIT_MICROSECONDS });
  const { driver } = await served.boot();
  const kicks = () => served.target.state.frontEnd!.rings.find(({ index }) => index === 2)!.kicks;
  const read = async () =>
    t.is((await driver.execute({ cdb: READ_10, dataInLength: 4096 })).status, Status.GOOD);
  for (let i = 0; i < 10; i++) await read();
  const before = kicks();
  for (let i = 0; i < 200; i++) await read();
  t.true(kicks() - before < 20, `${kicks() - before} kicks for 200 requests`);
  await sleep(SLOW);
  const quiet = kicks();
  await read();
  t.is(kicks(), quiet + 1);
  await served.close();
});

test.serial(
  'a driver that was away is not taken for a quick one while its disk has shown it nothing',
  async (t) => {
    const served = await Served.start({ pollMicroseconds: LIMIT_MICROSECONDS });
    const { driver } = await served.boot();
    const queue = driver.queues[2];
    // It looks for itself, so what it asks for is started and shown in parts.
    queue.interrupts(false);
    void driver.execute({ cdb: READ_10, dataInLength: 4096 });
    await sleep(SLOW);
    served.backstore.hold = true;
    for (let i = 0; i < 32; i++) void driver.execute({ cdb: READ_10, dataInLength: 4096 });
    await eventually(() => served.backstore.held.length === 32);
    t.is(queue.deviceAvailEvent, queue.availableIndex, 'kicks are asked for');
    await served.close();
  },
);
