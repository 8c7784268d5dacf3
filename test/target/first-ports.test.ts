import test from 'ava';
import { firstPorts, PORTS_APART } from '../../src/target/first-ports.ts';

/** `name: disk disk` */
function targets(...texts: readonly string[]) {
  return texts.map((text) => {
    const [name, disks] = text.split(':');
    return { name, disks: disks.split(' ').filter(Boolean) };
  });
}

interface Row {
  readonly title: string;
  readonly targets: readonly string[];
  /** In steps. */
  readonly known?: Readonly<Record<string, number>>;
  readonly expected: readonly number[];
}

const ROWS: readonly Row[] = [
  { title: 'new targets get numbers of their own', targets: ['a:', 'b: x', 'c: x'], expected: [0, 1, 2] },
  { title: 'a known target keeps its number', targets: ['b: y'], known: { a: 0, b: 1 }, expected: [1] },
  {
    title: 'in whatever order targets come',
    targets: ['c: x', 'b: x', 'a: x'],
    known: { a: 0, b: 1 },
    expected: [2, 1, 0],
  },
  {
    title: 'the number of a target that is not served now is left to it',
    targets: ['c: x'],
    known: { a: 0 },
    expected: [1],
  },
  {
    title: 'of two known ones that come to share a disk, the first keeps its number',
    targets: ['a: x y', 'b: y'],
    known: { a: 0, b: 0 },
    expected: [0, 1],
  },
];

for (const { title, targets: texts, known = {}, expected } of ROWS) {
  test(title, (t) => {
    const ports = new Map(Object.entries(known).map(([name, step]) => [name, step * PORTS_APART]));
    t.deepEqual(
      firstPorts(targets(...texts), ports).map((port) => port / PORTS_APART),
      expected,
    );
  });
}

test('when all numbers are used, targets that share no disk have the same; 65 that share one are too many', (t) => {
  const known = new Map(Array.from({ length: 64 }, (_, i) => [`k${i}`, i * PORTS_APART]));
  known.set('l', 0);
  t.deepEqual(firstPorts(targets('a: x', 'k1: x'), known), [2 * PORTS_APART, PORTS_APART]);
  const sharing = Array.from({ length: 65 }, (_, i) => `t${i}: x`);
  t.is(new Set(firstPorts(targets(...sharing.slice(1)), new Map())).size, 64);
  t.throws(() => firstPorts(targets(...sharing), new Map()), { code: 'too-many-targets' });
});
