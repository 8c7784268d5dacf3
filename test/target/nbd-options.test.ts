import test from 'ava';
import { nbdOptions } from '../../src/cli/nbd-options.ts';
import { UsageError } from '../../src/target/disk-spec.ts';
import { parseNbdAddress } from '../../src/target/nbd-options.ts';

const addresses: [text: string, expected: unknown][] = [
  ['./a.sock', { path: `${process.cwd()}/a.sock` }],
  ['/run/x', { path: '/run/x' }],
  ['10810', { host: '127.0.0.1', port: 10810 }],
  [':10810', { host: '127.0.0.1', port: 10810 }],
  ['192.0.2.1', { host: '192.0.2.1', port: 10809 }],
  ['[::1]:1', { host: '::1', port: 1 }],
];
for (const [text, expected] of addresses) {
  test(`${text} is an address`, (t) => t.deepEqual(parseNbdAddress(text), expected as never));
}

for (const text of ['', 'example.org', '127.0.0.1:70000', '70000', '1.2.3.4:', '::1:5']) {
  test(`"${text}" is none`, (t) => void t.throws(() => parseNbdAddress(text), { instanceOf: UsageError }));
}

test('companions of --nbd need it, and exclude each other', (t) => {
  t.is(nbdOptions({}), undefined);
  t.throws(() => nbdOptions({ nbdOpen: true }), { instanceOf: UsageError });
  t.throws(() => nbdOptions({ nbd: '1', nbdTls: '/a', nbdPsk: '/b' }), { instanceOf: UsageError });
});
