import test from 'ava';
import { BOUNCE_BUDGET, BounceMemory, type BounceUser } from '../../src/backstores/bounce-memory.ts';
import type { Scratch } from '../../src/scsi/environment.ts';
import { HeapMemory } from '../support/heap-memory.ts';

const HALF = BOUNCE_BUDGET / 2;

function user(length: number) {
  const grants: (Scratch | undefined)[] = [];
  const bounceGranted = (bounce: Scratch | undefined) => void grants.push(bounce);
  return { length, grants, bounceGranted } satisfies BounceUser & { grants: unknown };
}

function asked(...lengths: number[]) {
  const memory = new HeapMemory();
  const bounces = new BounceMemory(memory);
  const users = lengths.map(user);
  for (const each of users) bounces.ask(each);
  const granted = () => users.map(({ grants }) => grants.length);
  const giveBack = (index: number) => bounces.giveBack(users[index].grants[0]!);
  return { memory, bounces, users, granted, giveBack };
}

const rows: [title: string, lengths: number[], granted: number[]][] = [
  ['all that there is room for', [HALF, 1, HALF - 1], [1, 1, 1]],
  ['nothing above', [HALF, HALF, 1], [1, 1, 0]],
  ['more than there is, to one that is alone', [BOUNCE_BUDGET + 1, 1], [1, 0]],
  [
    'nothing to one who needs little, before another that came first and needs much',
    [HALF, HALF + 1, 1],
    [1, 0, 0],
  ],
];
for (const [title, lengths, expected] of rows) {
  test(`a disk's copies are granted ${title}`, (t) => {
    const { memory, users, granted, giveBack } = asked(...lengths);
    t.deepEqual(granted(), expected);
    for (const [index, { length, grants }] of users.entries()) {
      t.is(grants.length, 1, 'in the end each has its turn');
      t.is(grants[0]!.length, length);
      giveBack(index);
    }
    t.is(memory.outstanding, 0);
  });
}

test("who is forgotten gets nothing, and waits in nobody else's way", (t) => {
  const { bounces, users, granted, giveBack } = asked(HALF, HALF + 1, 1, HALF);
  t.true(bounces.forget(users[1]));
  t.deepEqual(granted(), [1, 0, 1, 0]);
  t.false(bounces.forget(users[2]), 'it has its memory');
  t.true(bounces.forget(users[3]));
  giveBack(0);
  giveBack(2);
  t.deepEqual(granted(), [1, 0, 1, 0]);
});

test('a system without memory says so to each in turn, and takes nothing of the bound', (t) => {
  const { memory, bounces, users, granted, giveBack } = asked(BOUNCE_BUDGET, HALF, HALF);
  const allocate = memory.allocate.bind(memory);
  memory.allocate = () => {
    throw new RangeError('none');
  };
  giveBack(0);
  t.deepEqual([users[1].grants, users[2].grants], [[undefined], [undefined]]);
  memory.allocate = allocate;
  const later = user(BOUNCE_BUDGET);
  bounces.ask(later);
  t.is(later.grants[0]?.length, BOUNCE_BUDGET);
  t.deepEqual(granted(), [1, 1, 1]);
});
