import test from 'ava';
import fc from 'fast-check';
import { parseDisk, UsageError } from '../../src/target/disk-spec.ts';

const plain = {
  kind: 'file',
  readOnly: false,
  size: undefined,
  blockSize: 512,
  serial: undefined,
  cache: 'writeback',
  create: false,
  share: false,
  removable: false,
  protection: undefined,
  attributes: {},
};

const good: [text: string, expected: object][] = [
  ['disk.img', { ...plain, name: 'disk.img' }],
  ['/dev/vdb,ro', { ...plain, name: '/dev/vdb', readOnly: true }],
  ['a,,b.img,create,size=1G', { ...plain, name: 'a,b.img', create: true, size: 2 ** 30 }],
  [
    'd,block-size=4096,cache=none,serial=X1',
    { ...plain, name: 'd', blockSize: 4096, cache: 'none', serial: 'X1' },
  ],
  ['ram:64M', { ...plain, kind: 'ram', name: 'ram:64M', size: 2 ** 26 }],
  ['null:1T,ro', { ...plain, kind: 'null', name: 'null:1T', size: 2 ** 40, readOnly: true }],
  ['d,pi=1,attr.emulate_tpu=0', { ...plain, name: 'd', protection: 1, attributes: { emulate_tpu: 0 } }],
  ['./ram:1G', { ...plain, name: './ram:1G' }],
];

for (const [text, expected] of good) {
  test(`"${text}" is understood`, (t) => t.deepEqual(parseDisk(text), { text, ...expected } as never));
}

const bad: [text: string, message: RegExp][] = [
  ['', /names no disk/],
  ['ram:', /expected a size such as ram:1G/],
  ['ram:0', /expected a size/],
  ['ram:1000', /not a multiple of the block size 512/],
  ['ram:1G,size=2G', /after the colon/],
  ['disk.img,colour=red', /unknown option "colour"/],
  ['disk.img,ro=yes', /takes no value/],
  ['disk.img,block-size=520', /expected 512, 1024, 2048, 4096 for block-size but received "520"/],
  ['disk.img,cache=unsafe', /expected writeback/],
  ['disk.img,serial=', /printable/],
  ['disk.img,pi=4', /expected 0, 1, 2 or 3/],
  ['disk.img,attr.block_size=512', /say block-size=/],
  ['disk.img,attr.colour=1', /unknown attribute "colour"/],
  ['disk.img,attr.emulate_tpu=yes', /expected a number/],
  ['disk.img,size=lots', /expected a size such as 10G for size but received "lots"/],
];

for (const [text, message] of bad) {
  test(`"${text}" is refused with a reason`, (t) => {
    t.throws(() => parseDisk(text), { instanceOf: UsageError, message });
  });
}

test('any text is a disk or a UsageError', (t) => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseDisk(text);
        return true;
      } catch (error) {
        return error instanceof UsageError;
      }
    }),
  );
  t.pass();
});
