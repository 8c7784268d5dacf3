import test from 'ava';
import { targetGroups } from '../../src/cli/target-groups.ts';
import { UsageError } from '../../src/target/disk-spec.ts';

const shape = (disks: string[], sockets: string[]) =>
  targetGroups(disks, sockets, () => '/run/lunport').map(({ socketPath, disks: specs }) => [
    socketPath,
    ...specs.map((spec) => spec.name),
  ]);

const rows: [title: string, disks: string[], sockets: string[], expected: string[][]][] = [
  [
    'disks of one target share a socket',
    ['a.img', 'ram:1G'],
    [],
    [['/run/lunport/a.sock', 'a.img', 'ram:1G']],
  ],
  [
    '"+" starts a target',
    ['a.img', '+', 'b.img'],
    ['/x'],
    [
      ['/x', 'a.img'],
      ['/run/lunport/b.sock', 'b.img'],
    ],
  ],
  [
    'default names do not clash',
    ['d/a.img', '+', 'e/a.img'],
    [],
    [
      ['/run/lunport/a.sock', 'd/a.img'],
      ['/run/lunport/a-1.sock', 'e/a.img'],
    ],
  ],
];

for (const [title, disks, sockets, expected] of rows)
  test(title, (t) => t.deepEqual(shape(disks, sockets), expected));

const refused: [disks: string[], sockets: string[], message: RegExp][] = [
  [['+', 'a'], [], /both sides/],
  [['a'], ['/x', '/y'], /received 2 sockets for 1 target/],
  [['a', '+', 'b'], ['/x', '/x'], /cannot share/],
];

for (const [disks, sockets, message] of refused) {
  test(`${disks.join(' ')} on ${sockets.join(' ')} is refused`, (t) => {
    t.throws(() => shape(disks, sockets), { instanceOf: UsageError, message });
  });
}
