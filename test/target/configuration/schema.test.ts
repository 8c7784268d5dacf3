/** What a configuration may say, and how one is told that it says something else. */
import { inspect } from 'node:util';
import test from 'ava';
import { parseConfiguration } from '../../../src/target/configuration/configuration-file.ts';

const RAM = { kind: 'ram', size: '1M' };
const TARGET = { sockets: [{ path: 'a.sock' }], luns: [{ lun: 0, disk: 'a' }] };
const GOOD = { version: 1, disks: { a: RAM }, targets: [TARGET] };
const PORTAL = { host: '127.0.0.1', port: 3260 };

const parse = (document: unknown) => parseConfiguration(JSON.stringify(document), 'x.json');

test('sizes are bytes or texts, and what is left out has its usual value', (t) => {
  const { disks, targets, iscsi } = parse({ ...GOOD, iscsi: { addresses: [{ host: '::1' }] } });
  t.deepEqual(disks, { a: { kind: 'ram', size: 1 << 20 } });
  t.deepEqual(targets[0].sockets, [{ path: 'a.sock', role: 'listen' }]);
  t.deepEqual(iscsi, {
    addresses: [{ host: '::1', port: 3260 }],
    target: { acls: [], others: 'admitted', demo: false },
  });
});

test('who names initiators lets no others in', (t) => {
  // An underscore is against the rules, and in some initiators' names.
  const iscsi = { acls: [{ initiator: 'IQN.2026-01.com.example:Number_One' }] };
  const [target] = parse({
    ...GOOD,
    targets: [{ ...TARGET, iscsi }],
    iscsi: { addresses: [PORTAL] },
  }).targets;
  t.is(target.iscsi?.others, 'refused');
  t.is(target.iscsi?.acls[0].initiator, 'iqn.2026-01.com.example:number_one');
});

const LUN = { lun: 0, targetLun: 0 };
const ACL = { initiator: 'iqn.2026-01.com.example:x' };
const CHAP = { user: 'u', secret: 's' };

const refused: readonly [title: string, document: unknown, message: RegExp][] = [
  ['another version', { ...GOOD, version: 2 }, /x\.json: version: expected 1/],
  ['no version', { disks: {}, targets: [] }, /version: /],
  ['an unknown key', { ...GOOD, diskz: {} }, /diskz: there is no such key/],
  [
    'an unknown key below',
    { ...GOOD, disks: { a: { ...RAM, sise: 1 } } },
    /disks\.a\.sise: there is no such key/,
  ],
  ['a kind of disk that there is not', { ...GOOD, disks: { a: { kind: 'tape' } } }, /disks\.a\.kind: /],
  [
    'a size that is none',
    { ...GOOD, disks: { a: { kind: 'ram', size: 'much' } } },
    /disks\.a\.size: expected a size/,
  ],
  [
    'half a block',
    { ...GOOD, disks: { a: { kind: 'ram', size: 700 } } },
    /disks\.a\.size: 700 bytes are not a multiple/,
  ],
  ['a block size', { ...GOOD, disks: { a: { ...RAM, blockSize: 513 } } }, /disks\.a\.blockSize: /],
  ['an attribute', { ...GOOD, disks: { a: { ...RAM, attributes: { emulate: 1 } } } }, /disks\.a\.attributes/],
  ['a path that is empty', { ...GOOD, disks: { a: { kind: 'file', path: '' } } }, /disks\.a\.path: /],
  [
    'an NAA',
    { ...GOOD, disks: { a: { ...RAM, identity: { vendor: '', product: '', revision: '', naa: 'naa.6' } } } },
    /disks\.a\.identity\.naa: expected/,
  ],
  [
    'a disk that is not there',
    { ...GOOD, disks: { b: RAM } },
    /targets\[0\]\.luns\[0\]\.disk: no disk is called "a"; there are: b/,
  ],
  [
    'a disk called like what every object has',
    { ...GOOD, targets: [{ ...TARGET, luns: [{ lun: 0, disk: 'toString' }] }] },
    /no disk is called "toString"/,
  ],
  [
    'one LUN twice',
    {
      ...GOOD,
      disks: { a: RAM, b: RAM },
      targets: [
        {
          ...TARGET,
          luns: [
            { lun: 3, disk: 'a' },
            { lun: 3, disk: 'b' },
          ],
        },
      ],
    },
    /luns\[1\]\.lun: LUN 3 is there already/,
  ],
  [
    'one disk at two LUNs',
    {
      ...GOOD,
      targets: [
        {
          ...TARGET,
          luns: [
            { lun: 0, disk: 'a' },
            { lun: 1, disk: 'a' },
          ],
        },
      ],
    },
    /luns\[1\]\.disk: "a" is at another LUN/,
  ],
  [
    'a LUN beyond all',
    { ...GOOD, targets: [{ ...TARGET, luns: [{ lun: 16384, disk: 'a' }] }] },
    /targets\[0\]\.luns\[0\]\.lun: /,
  ],
  [
    'a socket named twice',
    { ...GOOD, targets: [TARGET, TARGET] },
    /targets\[1\]\.sockets\[0\]\.path: a\.sock is named twice/,
  ],
  [
    'a block device with a LUN 1',
    { ...GOOD, targets: [{ ...TARGET, device: 'blk', luns: [{ lun: 1, disk: 'a' }] }] },
    /targets\[0\]\.luns: a virtio block device/,
  ],
  [
    'a block device whose guest does not see its disk',
    {
      ...GOOD,
      targets: [{ ...TARGET, device: 'blk', sockets: [{ path: 'a', luns: [{ lun: 1, targetLun: 0 }] }] }],
    },
    /targets\[0\]\.sockets\[0\]\.luns: a virtio block device is the disk at LUN 0/,
  ],
  [
    'an address that is a name',
    { ...GOOD, iscsi: { addresses: [{ host: 'localhost' }] } },
    /iscsi\.addresses\[0\]\.host: expected an IP address/,
  ],
  [
    'an iSCSI name',
    { ...GOOD, targets: [{ ...TARGET, iscsi: { name: 'disk' } }] },
    /targets\[0\]\.iscsi\.name: "disk" is no iSCSI name/,
  ],
  [
    'an ACL without a portal to come to',
    { ...GOOD, targets: [{ ...TARGET, iscsi: { acls: [ACL] } }] },
    /targets\[0\]\.iscsi: there is no portal: name its address in iscsi\.addresses/,
  ],
  [
    'half of mutual CHAP',
    { ...GOOD, iscsi: { addresses: [PORTAL], discoveryCredentials: { ...CHAP, mutualUser: 'm' } } },
    /iscsi\.discoveryCredentials: mutualUser and mutualSecret/,
  ],
  [
    'one secret for both sides',
    {
      ...GOOD,
      iscsi: { addresses: [PORTAL], discoveryCredentials: { ...CHAP, mutualUser: 'm', mutualSecret: 's' } },
    },
    /the two secrets must differ/,
  ],
  [
    'an initiator named twice',
    { ...GOOD, targets: [{ ...TARGET, iscsi: { acls: [ACL, ACL] } }] },
    /targets\[0\]\.iscsi\.acls: an initiator is there twice/,
  ],
  [
    'a LUN mapped twice',
    { ...GOOD, targets: [{ ...TARGET, iscsi: { acls: [{ ...ACL, luns: [LUN, { ...LUN, lun: 1 }] }] } }] },
    /acls\[0\]\.luns: a LUN of the target is mapped twice/,
  ],
  [
    'a portal that there is not',
    {
      ...GOOD,
      iscsi: { addresses: [{ ...PORTAL, port: 3261 }] },
      targets: [{ ...TARGET, iscsi: { addresses: [PORTAL] } }],
    },
    /targets\[0\]\.iscsi\.addresses\[0\]: 127\.0\.0\.1 port 3260 is not among/,
  ],
  ['a log level', { ...GOOD, logLevel: 'loud' }, /logLevel: /],
];

for (const [title, document, message] of refused) {
  test(`${title} is refused, with its place`, (t) => {
    t.throws(() => parse(document), { code: 'configuration', message });
  });
}

test('everything that is wrong is said at once', (t) => {
  const error = t.throws(() => parse({ version: 1, disks: { a: { kind: 'ram' } }, targets: [{}], more: 1 }));
  for (const place of ['disks.a.size', 'targets[0].luns', 'more'])
    t.true(error.message.includes(place), place);
});

test('what is no JSON, or cut short, is refused as that', (t) => {
  const text = JSON.stringify(GOOD);
  for (const end of [0, 1, 10, text.length - 1]) {
    t.throws(() => parseConfiguration(text.slice(0, end), 'x.json'), { message: /x\.json is no JSON/ });
  }
});

const FILLER = ' '.repeat(20);
const broken: readonly [text: string, message: string][] = [
  [`{"user": "u",\n"secret": s3cr3t,\n"more":1,${FILLER}}`, "Unexpected token 's', in line 2"],
  [`{\n"a":s3cr3t${FILLER}}`, "Unexpected token 's', in line 2"],
  [`{"a":1,${FILLER}\n"b":s3cr3t`, "Unexpected token 's', in line 2"],
  ['s3cr3t', "Unexpected token 's'"],
  ['{\n"secret": "s3cr3t"\n"a":1}', "Expected ',' or '}' after property value, in line 3"],
  ['{"secret":', 'Unexpected end, in line 1'],
  ['{\n"secret":"s3cr3t', 'Unterminated string, in line 2'],
];
for (const [text, message] of broken) {
  test(`${JSON.stringify(text)} is no JSON, told by its line and without what may be a secret`, (t) => {
    const error = t.throws(() => parseConfiguration(text, 'x.json'));
    t.is(error?.message, `x.json is no JSON: ${message}`);
    t.false(inspect(error).includes('s3cr3t'));
  });
}
