/** What saveconfig.json of LIO becomes here, and what of it is refused. */
import test from 'ava';
import { configurationSchema } from '../../../src/target/configuration/schema.ts';
import type { LunportError } from '../../../src/target/errors.ts';
import { importSaveconfig } from '../../../src/target/saveconfig/import-saveconfig.ts';
import {
  ACL,
  CLIENT,
  FILE,
  IQN,
  ISCSI,
  RAM,
  SAVECONFIG,
  SERIAL,
  TPG,
  VHOST,
} from '../../support/saveconfig.ts';

const imported = (document: unknown) => importSaveconfig(document, 'saveconfig.json');
const withTpg = (change: object) => ({
  ...SAVECONFIG,
  targets: [{ ...ISCSI, tpgs: [{ ...TPG, ...change }] }],
});
const reasons = (document: unknown) =>
  imported(document).notes.map(({ kind, object, message }) => `${kind} ${object} ${message}`);

test('an iSCSI target comes with its name, portals, LUNs, ACLs and secrets, and nothing is left to say', (t) => {
  const { configuration, notes } = imported(SAVECONFIG);
  t.deepEqual(notes, []);
  t.true(configurationSchema.safeParse(configuration).success);
  const addresses = [{ host: '127.0.0.1', port: 3260 }];
  t.deepEqual(configuration.iscsi?.addresses, addresses);
  t.deepEqual(configuration.targets, [
    {
      luns: [
        { lun: 0, disk: 'disk' },
        { lun: 5, disk: 'ram' },
      ],
      iscsi: {
        name: IQN,
        addresses,
        acls: [
          {
            initiator: CLIENT,
            credentials: {
              user: 'user',
              secret: 'secret of the client',
              mutualUser: 'target',
              mutualSecret: 'secret of the target',
            },
            luns: [{ lun: 1, targetLun: 5, writeProtected: true }],
          },
        ],
        others: 'refused',
        demo: false,
      },
    },
  ]);
});

test('a disk keeps the names that LIO gave it: vendor, model, serial number, NAA', (t) => {
  const { disk } = imported(SAVECONFIG).configuration.disks;
  t.deepEqual(disk, {
    kind: 'file',
    path: '/srv/disk.img',
    cache: 'writethrough',
    serial: SERIAL,
    identity: {
      vendor: 'LIO-ORG',
      product: 'disk',
      revision: '4.0',
      naa: 'naa.6001405ea54b27a7e2a45c5af31933aa',
    },
    attributes: { emulate_tpu: 0, max_unmap_lba_count: 8192 },
  });
});

const disks: readonly [title: string, object: object, expected: object][] = [
  ['write_back is a write-back cache', { ...FILE, write_back: true }, { cache: undefined }],
  [
    'a block device goes past the page cache',
    { ...FILE, plugin: 'block', readonly: true },
    { cache: 'none', readOnly: true },
  ],
  ['its old name is understood', { ...FILE, plugin: 'iblock' }, { cache: 'none' }],
  ['a ramdisk is memory', RAM, { kind: 'ram', size: 1 << 20 }],
  ['nullio is nothing', { ...RAM, nullio: true }, { kind: 'null' }],
  ['big blocks stay', { ...FILE, attributes: { block_size: 4096 } }, { blockSize: 4096 }],
];
for (const [title, object, expected] of disks) {
  test(`${title}`, (t) => {
    const [disk] = Object.values(imported({ storage_objects: [object] }).configuration.disks);
    t.like(disk, expected);
  });
}

const refused: readonly [title: string, document: object, reason: RegExp][] = [
  [
    'pscsi',
    { storage_objects: [{ ...FILE, plugin: 'pscsi' }] },
    /^refused \/backstores\/pscsi\/disk it passes CDBs/,
  ],
  ['user', { storage_objects: [{ ...FILE, plugin: 'user' }] }, /TCMU/],
  ['a plugin that there is not', { storage_objects: [{ ...FILE, plugin: 'x' }] }, /knows no plugin "x"/],
  ['odd blocks', { storage_objects: [{ ...FILE, attributes: { block_size: 520 } }] }, /blocks of 520 bytes/],
  ['SRP', { targets: [{ fabric: 'srpt', wwn: 'ib.1' }] }, /^refused \/srpt\/ib\.1 SRP/],
  ['Fibre Channel', { targets: [{ fabric: 'qla2xxx', wwn: 'naa.1' }] }, /Fibre Channel/],
  ['a fabric that there is not', { targets: [{ fabric: 'x', wwn: 'y' }] }, /knows no fabric "x"/],
  ['iSER', withTpg({ portals: [{ ip_address: '127.0.0.1', port: 1, iser: true }] }), /iSER needs RDMA/],
  ['a target without a portal', withTpg({ portals: [] }), /no portal/],
  ['a disabled portal group', withTpg({ enable: false }), /tpg1 it is disabled/],
  [
    'a LUN of what is refused',
    { ...SAVECONFIG, storage_objects: [RAM] },
    /lun0 \/backstores\/fileio\/disk is not imported/,
  ],
  [
    'an ACL that nobody could log in by',
    withTpg({ node_acls: [{ node_wwn: CLIENT }] }),
    /acls\/.*client it must prove a secret, and none is set/,
  ],
];
for (const [title, document, reason] of refused) {
  test(`${title} is refused with a reason`, (t) => {
    t.true(
      reasons(document).some((text) => reason.test(text)),
      reasons(document).join('\n'),
    );
  });
}

test('nobody gets in who was kept out: demo mode with a proof that is not set is closed', (t) => {
  const attributes = { authentication: 1, generate_node_acls: 1 };
  const [closed] = imported(withTpg({ attributes, node_acls: [] })).configuration.targets;
  t.like(closed.iscsi, { others: 'refused', demo: false });
  const proof = { chap_userid: 'u', chap_password: 'p' };
  const [proved] = imported(withTpg({ attributes, node_acls: [], ...proof })).configuration.targets;
  t.like(proved.iscsi, { others: 'read-only', demo: false, credentials: { user: 'u', secret: 'p' } });
  const open = { authentication: 0, generate_node_acls: 1, demo_mode_write_protect: 0 };
  t.like(imported(withTpg({ attributes: open })).configuration.targets[0].iscsi, {
    others: 'admitted',
    demo: true,
  });
  const texts = { authentication: 0, generate_node_acls: '0', prod_mode_write_protect: '1' };
  t.like(imported(withTpg({ attributes: texts })).configuration.targets[0].iscsi, {
    others: 'refused',
    acls: [{ readOnly: true }],
  });
});

test("an ACL's own word on authentication stands, and write protection of all ACLs too", (t) => {
  const attributes = { ...TPG.attributes, prod_mode_write_protect: 1 };
  const acl = { ...ACL, attributes: { authentication: 0 } };
  const [{ iscsi }] = imported(withTpg({ attributes, node_acls: [acl] })).configuration.targets;
  t.like(iscsi?.acls[0], { credentials: undefined, readOnly: true });
});

test('an ACL that asks for nothing lets its initiator in although others must prove a secret', (t) => {
  const attributes = { authentication: 1, generate_node_acls: 1 };
  const proof = { chap_userid: 'u', chap_password: 'p' };
  const acls = [
    { ...ACL, attributes: { authentication: 0 } },
    { ...ACL, node_wwn: `${CLIENT}2` },
  ];
  const document = withTpg({ attributes, node_acls: acls, ...proof });
  const { configuration } = imported(document);
  t.true(configurationSchema.safeParse(configuration).success);
  const { credentials, acls: own } = configuration.targets[0].iscsi!;
  t.like(credentials, { user: 'u' });
  t.is(own[0].credentials, null);
  t.is(own[1].credentials?.secret, ACL.chap_password);
});

test('a portal on [::] takes IPv4 as well, and each target keeps to its own portals', (t) => {
  const other = {
    ...ISCSI,
    wwn: `${IQN}2`,
    tpgs: [{ ...TPG, portals: [{ ip_address: '[::]', port: 3261 }] }],
  };
  const { configuration } = imported({ ...SAVECONFIG, targets: [ISCSI, other] });
  t.deepEqual(configuration.targets[0].iscsi?.addresses, [{ host: '127.0.0.1', port: 3260 }]);
  t.deepEqual(configuration.targets[1].iscsi?.addresses, [
    { host: '0.0.0.0', port: 3261 },
    { host: '::', port: 3261 },
  ]);
  t.is(configuration.iscsi?.addresses.length, 3);
});

test('a vhost target keeps its name, and each ACL is a socket with the LUNs that it maps', (t) => {
  const { configuration } = imported({ ...SAVECONFIG, targets: [VHOST] });
  t.true(configurationSchema.safeParse(configuration).success);
  t.is(configuration.iscsi, undefined);
  t.like(configuration.targets[0], { wwn: VHOST.wwn, iscsi: null });
  t.deepEqual(configuration.targets[0].sockets, [
    {
      role: 'listen',
      initiator: 'naa.50014059876543ab',
      luns: [{ lun: 0, targetLun: 5, writeProtected: true }],
    },
  ]);
});

test('discovery asks for what it asked for', (t) => {
  const module = {
    name: 'iscsi',
    discovery_enable_auth: true,
    discovery_userid: 'd',
    discovery_password: 'p',
  };
  const { iscsi } = imported({ ...SAVECONFIG, fabric_modules: [module] }).configuration;
  t.deepEqual(iscsi?.discoveryCredentials, { user: 'd', secret: 'p' });
});

for (const document of [
  null,
  [],
  5,
  'x',
  { targets: 5 },
  { storage_objects: [{}] },
  { targets: [{ fabric: 'iscsi' }] },
]) {
  test(`${JSON.stringify(document)} is no saveconfig.json`, (t) => {
    const error = t.throws<LunportError>(() => imported(document), { code: 'configuration' });
    t.regex(error?.hint ?? '', /as targetcli writes it/);
  });
}
