/** Who of driver and device wants to be told what, in a split virtqueue: flags, EVENT_IDX, NOTIFY_ON_EMPTY. */
import test from 'ava';
import { HeapRing } from '../../support/vhost-user/heap-ring.ts';

test('without EVENT_IDX, flags say who wants to be told', (t) => {
  const ring = new HeapRing(4);
  ring.describe([{ address: 0x100, length: 1 }]);
  const roundTrip = () => {
    ring.offer(0);
    ring.pop();
    ring.queue.push(0, 0);
    return ring.queue.publish(false);
  };
  t.true(roundTrip());
  ring.availableFlags = 1;
  t.false(roundTrip());
  ring.queue.pauseKicks();
  t.is(ring.usedFlags, 1);
  t.false(ring.queue.awaitKicks());
  t.is(ring.usedFlags, 0);
  ring.offer(0);
  t.true(ring.queue.awaitKicks());
});

test('with EVENT_IDX, the driver is signalled when its index is passed, and not before', (t) => {
  const ring = new HeapRing(4, { eventIndex: true });
  ring.describe(Array.from({ length: 4 }, () => ({ address: 0x100, length: 1 })));
  const complete = (count: number) => {
    for (let head = 0; head < count; head++) ring.offer(head);
    for (let head = 0; head < count; head++) {
      ring.pop();
      ring.queue.push(head, 0);
    }
    return ring.queue.publish(false);
  };
  // 2.7.7.2 and 2.7.10.2: flags mean nothing then, and the device's are 0.
  ring.availableFlags = 1;
  ring.usedEvent = 100;
  t.true(complete(1), 'nobody knows yet what the driver has seen');
  t.false(complete(1));
  ring.usedEvent = 3;
  t.false(complete(1));
  t.true(complete(1));
  ring.usedEvent = 5;
  t.true(complete(3), 'passed within a batch');
  t.false(ring.queue.publish(false), 'nothing new');
  ring.queue.pauseKicks();
  t.is(ring.usedFlags, 0);
  t.false(ring.queue.awaitKicks());
  t.is(ring.availableEvent, 7);
});

test('what is shown in parts is asked about at the end, as a whole', (t) => {
  for (const [usedEvent, wanted] of [
    [1, false],
    [2, true],
    [3, true],
    [4, true],
    [5, false],
  ] as const) {
    const ring = new HeapRing(8, { eventIndex: true });
    ring.describe(Array.from({ length: 8 }, () => ({ address: 0x100, length: 1 })));
    const complete = (head: number, more: boolean) => {
      ring.offer(head);
      ring.pop();
      ring.queue.push(head, 0);
      return ring.queue.publish(more);
    };
    t.true(complete(0, false), 'the first signal');
    t.false(complete(1, false));
    ring.usedEvent = usedEvent;
    t.false(complete(2, true));
    t.is(ring.usedIndex, 3, 'shown');
    t.false(complete(3, true));
    t.is(complete(4, false), wanted, `used_event ${usedEvent}`);
    ring.usedEvent = 5;
    t.false(complete(5, true));
    t.true(ring.queue.publish(false), 'nothing new, but not asked yet');
    t.false(ring.queue.publish(false));
  }
});

test('with NOTIFY_ON_EMPTY, the driver is signalled when nothing is left, whatever it wants', (t) => {
  for (const eventIndex of [false, true]) {
    const ring = new HeapRing(4, { eventIndex, notifyOnEmpty: true });
    ring.describe(Array.from({ length: 4 }, () => ({ address: 0x100, length: 1 })));
    const finish = (head: number) => {
      ring.queue.push(head, 0);
      return ring.queue.publish(false);
    };
    ring.availableFlags = 1;
    ring.usedEvent = 100;
    for (let head = 0; head < 4; head++) ring.offer(head);
    ring.pop();
    // The first one is signalled with EVENT_IDX in any case.
    finish(0);
    ring.pop();
    t.false(finish(1), 'two more are available');
    ring.pop();
    ring.pop();
    t.false(finish(2), 'one more is under way');
    t.true(finish(3));
    t.false(ring.queue.publish(false), 'nothing new');
  }
});
