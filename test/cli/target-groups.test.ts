import test from 'ava';
import { targetGroups } from '../../src/cli/target-groups.ts';
import { UsageError } from '../../src/target/disk-spec.ts';

/** A socket with "<" before its name is one that the front-end listens on. */
const shape = (disks: string[], sockets: string[]) =>
  targetGroups(
    disks,
    sockets.map((text) => ({
      path: text.replace('<', ''),
      role: text.startsWith('<') ? 'connect' : 'listen',
    })),
  ).map((target) => [
    (target.sockets ?? []).map(({ path, role }) => `${role === 'connect' ? '<' : ''}${path}`).join(),
    ...target.disks.map((spec) => spec.name),
  ]);

const rows: [title: string, disks: string[], sockets: string[], expected: string[][]][] = [
  ['disks of one target share a socket', ['a.img', 'ram:1G'], [], [['', 'a.img', 'ram:1G']]],
  [
    '"+" starts a target',
    ['a.img', '+', 'b.img'],
    ['/x'],
    [
      ['/x', 'a.img'],
      ['', 'b.img'],
    ],
  ],
  ['one target has all sockets', ['a.img'], ['/x', '<y', '/z'], [[`/x,<${process.cwd()}/y,/z`, 'a.img']]],
  [
    'a socket called "+" moves on to the next target',
    ['a.img', '+', 'b.img', '+', 'c.img'],
    ['/x', '/y', '+', '+', '/z'],
    [
      ['/x,/y', 'a.img'],
      ['', 'b.img'],
      ['/z', 'c.img'],
    ],
  ],
];

for (const [title, disks, sockets, expected] of rows)
  test(title, (t) => t.deepEqual(shape(disks, sockets), expected));

const refused: [disks: string[], sockets: string[], message: RegExp][] = [
  [['+', 'a'], [], /both sides/],
  [['a'], ['/x', '+', '/y'], /received sockets for 2 targets but disks for 1/],
  [['a', '+', 'b'], ['/x', '/y', '/z'], /received sockets for 3 targets but disks for 2/],
  [['a', '+', 'b'], ['/x', '/x'], /named twice/],
];

for (const [disks, sockets, message] of refused) {
  test(`${disks.join(' ')} on ${sockets.join(' ')} is refused`, (t) => {
    t.throws(() => shape(disks, sockets), { instanceOf: UsageError, message });
  });
}
