import test from 'ava';
import { freeName } from '../../../src/target/configuration/changes.ts';

const names: readonly [path: string, name: string][] = [
  ['/srv/my disk.img', 'my-disk'],
  ['/srv/taken.img', 'taken-1'],
  ['/srv/__proto__.img', 'disk'],
  [`/srv/${'x'.repeat(99)}.img`, 'x'.repeat(48)],
];
for (const [path, name] of names) {
  test(`${path} is a disk called ${name}`, (t) => {
    t.is(freeName({ taken: { kind: 'null', size: 512 } }, { kind: 'file', path }), name);
  });
}
