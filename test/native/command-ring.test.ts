/** The command ring against a driver that every kernel has: /dev/null takes any command and does nothing. */
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { addon } from '../../src/native/addon.ts';
import { CommandRing } from '../../src/native/command-ring.ts';
import { Errno } from '../../src/native/errno.ts';
import { RegionMemory } from '../../src/native/memory.ts';

const DEPTH = 8;
const COMMAND = 0xc010_7520;

class Owner {
  readonly done: [slot: number, result: number][] = [];
  onDone: (slot: number) => void = () => {};
  private waiting: (() => void) | undefined = undefined;

  commandDone(slot: number, result: number): void {
    this.done.push([slot, result]);
    this.onDone(slot);
    this.waiting?.();
  }

  async until(count: number): Promise<void> {
    while (this.done.length < count) {
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
    }
  }
}

function open(t: ExecutionContext, path: string): { ring: CommandRing; owner: Owner; fd: number } {
  const owner = new Owner();
  const ring = new CommandRing(DEPTH, owner);
  const fd = openSync(path, 'r+');
  t.teardown(() => {
    ring.close();
    closeSync(fd);
  });
  return { ring, owner, fd };
}

test('every slot ends once, in whichever order, and may be used again from its end on', async (t) => {
  const { ring, owner, fd } = open(t, '/dev/null');
  const ROUNDS = 100;
  const left = Array.from({ length: DEPTH }, () => ROUNDS);
  const send = (slot: number) => ring.send(slot, fd, COMMAND, slot, 0, -1, 0, 0, 0);
  owner.onDone = (slot) => {
    if (--left[slot] > 0) send(slot);
  };
  for (let slot = 0; slot < DEPTH; slot++) send(slot);
  await owner.until(DEPTH * ROUNDS);
  t.deepEqual(
    left,
    Array.from({ length: DEPTH }, () => 0),
  );
  t.true(owner.done.every(([, result]) => result === 0));
});

test('memory that a command names stays mapped until its end, and can go then', async (t) => {
  const { ring, owner, fd } = open(t, '/dev/null');
  const memory = new RegionMemory();
  const region = memory.mapAnonymous(4096, { name: 'a buffer' });
  ring.send(0, fd, COMMAND, 0, 0, region.id, 0, 4096, 0);
  await owner.until(1);
  memory.unmap(region);
  t.deepEqual(owner.done, [[0, 0]]);
});

test('a file whose driver takes no commands says so', async (t) => {
  const { ring, owner, fd } = open(t, fileURLToPath(import.meta.url));
  ring.send(3, fd, COMMAND, 0, 0, -1, 0, 0, 0);
  await owner.until(1);
  t.deepEqual(owner.done, [[3, Errno.EOPNOTSUPP]]);
});

/** `region`: the test's own where it says OWN. */
const OWN = 'own';
const refusals: [
  title: string,
  error: number,
  slot: number,
  region: typeof OWN | number,
  at: number,
  length: number,
][] = [
  ['a slot beyond the ring', Errno.EINVAL, DEPTH, -1, 0, 0],
  ['a slot that is no number', Errno.EINVAL, Number.NaN, -1, 0, 0],
  ['a region that there is not', Errno.EFAULT, 0, 1e6, 0, 0],
  ['memory beyond its region', Errno.EFAULT, 0, OWN, 4096, 1],
  ['a negative offset', Errno.EFAULT, 0, OWN, -1, 1],
];
for (const [title, error, slot, region, at, length] of refusals) {
  test(`${title} is refused, and nothing was sent`, (t) => {
    const memory = new RegionMemory();
    const own = memory.mapAnonymous(4096, { name: 'a buffer' });
    const ring = addon.createCommandRing(DEPTH, () => {});
    if (typeof ring === 'number') throw new Error(`errno ${ring}`);
    const fd = openSync('/dev/null', 'r+');
    const rows = new Float64Array(ring.submissions);
    const row = [slot, fd, COMMAND, 0, 0, region === OWN ? own.id : region, at, length, 0];
    rows.set([1, fd, COMMAND, 0, 0, own.id, 0, 4096, 0]);
    rows.set(row, row.length);
    t.is(ring.exchange(2), error);
    // Slot 1 was free all the time, and its memory is nobody's.
    memory.unmap(own);
    t.is(ring.close(), 0);
    closeSync(fd);
  });
}

test('a slot is not used twice at a time', (t) => {
  const ring = addon.createCommandRing(DEPTH, () => {});
  if (typeof ring === 'number') throw new Error(`errno ${ring}`);
  const row = [2, 0, COMMAND, 0, 0, -1, 0, 0, 0];
  new Float64Array(ring.submissions).set([...row, ...row]);
  t.is(ring.exchange(2), Errno.EINVAL);
  t.is(ring.exchange(DEPTH + 1), Errno.EINVAL);
  t.is(ring.close(), 0);
});
