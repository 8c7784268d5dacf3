/** The way back to LIO: nothing that was imported is lost, and what was changed is changed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../../qemu/package-root.ts';
import { withLun, withoutLun } from '../../../src/target/configuration/changes.ts';
import type { Configuration } from '../../../src/target/configuration/schema.ts';
import { exportSaveconfig } from '../../../src/target/saveconfig/export-saveconfig.ts';
import { importSaveconfig } from '../../../src/target/saveconfig/import-saveconfig.ts';
import { ACL, FILE, IQN, ISCSI, RAM, TPG, VHOST } from '../../support/saveconfig.ts';

interface Lio {
  readonly storage_objects: readonly Record<string, unknown>[];
  readonly targets: readonly {
    readonly fabric: string;
    readonly wwn: string;
    readonly tpgs: readonly {
      readonly luns: readonly { readonly index: number; readonly storage_object: string }[];
      readonly node_acls: readonly object[];
      readonly portals: readonly object[];
      readonly attributes: object;
    }[];
  }[];
}

const configurationOf = (document: unknown) => importSaveconfig(document, 'x').configuration;
const WWNS = ['naa.5001405000000001', 'naa.5001405000000002'];
const exported = (configuration: Configuration, sizes: Readonly<Record<string, number>> = {}) =>
  exportSaveconfig(configuration, { wwns: WWNS, sizeOf: (path) => sizes[path] }).document as unknown as Lio;

/** Not understood by us: to come back as it was. */
const STRANGE = {
  fabric_modules: [{ name: 'qla2xxx', some: { thing: [1, 2] } }],
  storage_objects: [FILE, RAM, { plugin: 'user', name: 'u', config: 'rbd/pool/image', hw_max_sectors: 128 }],
  targets: [
    {
      ...ISCSI,
      tpgs: [
        { ...TPG, portals: [...TPG.portals, { ip_address: '10.0.0.1', port: 3260, iser: true }], more: 1 },
      ],
    },
    { ...ISCSI, wwn: `${IQN}-off`, tpgs: [{ ...TPG, enable: false }] },
    { fabric: 'srpt', wwn: 'ib.fe80', tpgs: [{ tag: 1, luns: [], x: null }] },
    VHOST,
  ],
  future: { key: true },
};

test('what was imported and not changed comes back as it was, the strange parts too', (t) => {
  t.deepEqual(exported(configurationOf(STRANGE)) as unknown, STRANGE as unknown);
});

/** Files of others, where they lie beside the checkout. */
const FACTS = join(packageRoot(), '..', 'shared', 'facts');
const real = existsSync(FACTS) ? readdirSync(FACTS).filter((name) => /^saveconfig.*\.json$/.test(name)) : [];
for (const name of real) {
  test(`${name}, a real one, goes in and out unchanged, and nothing in it is refused`, (t) => {
    const document = JSON.parse(readFileSync(join(FACTS, name), 'utf8'));
    const { configuration, notes } = importSaveconfig(document, name);
    t.deepEqual(
      notes.filter(({ kind }) => kind === 'refused'),
      [],
    );
    t.deepEqual(exported(configuration) as unknown, document);
  });
}

test('a disk that was added is a storage object and a LUN; one that was removed is gone', (t) => {
  const before = configurationOf(STRANGE);
  const disk = { kind: 'file', path: '/srv/new.img', serial: 'S' } as const;
  const { storage_objects, targets } = exported(withoutLun(withLun(before, 0, 7, disk), 1, 5));
  t.like(storage_objects[3], {
    plugin: 'fileio',
    name: 'new',
    dev: '/srv/new.img',
    wwn: 'S',
    write_back: true,
  });
  t.deepEqual(
    targets[0].tpgs[0].luns.map(({ index, storage_object }) => [index, storage_object]),
    [
      [0, '/backstores/fileio/disk'],
      [5, '/backstores/ramdisk/ram'],
      [7, '/backstores/fileio/new'],
    ],
  );
  t.deepEqual(
    targets[3].tpgs[0].luns.map(({ index }) => index),
    [0],
  );
  t.deepEqual(targets[2] as unknown, STRANGE.targets[2]);
});

test('access that has changed is written, and what was strange in the portal group stays', (t) => {
  const before = configurationOf(STRANGE);
  const [first, ...rest] = before.targets;
  const acls = [
    { initiator: 'iqn.2018-12.example:new', luns: [{ lun: 0, targetLun: 0, writeProtected: true }] },
  ];
  const iscsi = { ...first.iscsi!, acls, others: 'admitted' as const };
  const [{ tpgs }] = exported({ ...before, targets: [{ ...first, iscsi }, ...rest] }).targets;
  t.like(tpgs[0], { more: 1, attributes: { generate_node_acls: 1, demo_mode_write_protect: 0 } });
  t.is(tpgs[0].portals.length, 2);
  t.like(tpgs[0].node_acls[0], {
    node_wwn: 'iqn.2018-12.example:new',
    mapped_luns: [{ index: 0, tpg_lun: 0, write_protect: true }],
  });
  t.is(tpgs[0].node_acls.length, 1);
});

test('a configuration that never was at LIO is written as LIO would, and comes back', (t) => {
  const configuration: Configuration = {
    version: 1,
    disks: { a: { kind: 'file', path: '/srv/a.img' }, m: { kind: 'ram', size: 1 << 20 } },
    targets: [
      {
        sockets: [{ path: '/run/a.sock', role: 'listen' }],
        luns: [
          { lun: 0, disk: 'a' },
          { lun: 1, disk: 'm' },
        ],
      },
    ],
    iscsi: {
      addresses: [{ host: '::1', port: 3260 }],
      target: { acls: [], others: 'admitted', demo: false },
    },
  };
  const document = exported(configuration);
  t.like(document.targets[0], { fabric: 'iscsi', wwn: 'iqn.2026-01.io.lunport:target' });
  t.like(document.targets[0].tpgs[0], { portals: [{ ip_address: '[::1]', port: 3260 }] });
  t.deepEqual(configurationOf(document).targets[0].luns, configuration.targets[0].luns);
  const vhost = exported({ ...configuration, iscsi: undefined });
  t.like(vhost.targets[0], { fabric: 'vhost', wwn: 'naa.5001405000000001' });
});

test('LIO is told the size that a file has now', (t) => {
  const before = configurationOf(STRANGE);
  const { storage_objects } = exported(before, { '/srv/disk.img': 2 << 30, '/srv/new.img': 4096 });
  t.deepEqual(storage_objects[0], { ...FILE, size: 2 << 30 });
  const disk = { kind: 'file', path: '/srv/new.img' } as const;
  t.is(exported(withLun(before, 0, 7, disk), { '/srv/new.img': 4096 }).storage_objects[3].size, 4096);
  const unknown = exportSaveconfig(withLun(before, 0, 7, disk), { wwns: [], sizeOf: () => undefined });
  t.true(unknown.notes.some(({ object, message }) => object.endsWith('new') && message.includes('its size')));
});

test('a disk that was changed keeps what lunport has no say in', (t) => {
  const before = configurationOf(STRANGE);
  const { disk } = before.disks as { readonly disk: { readonly kind: 'file'; readonly path: string } };
  const disks = { ...before.disks, disk: { ...disk, cache: undefined } };
  const [file] = exported({ ...before, disks }).storage_objects;
  t.deepEqual(file, {
    ...FILE,
    write_back: true,
    attributes: { ...FILE.attributes, emulate_write_cache: 1 },
  });
});

test('another disk under the name of one that was removed does not get its serial number', (t) => {
  const before = configurationOf(STRANGE);
  const removed = withoutLun(withoutLun(before, 0, 0), 1, 0);
  const [file] = exported(withLun(removed, 0, 0, { kind: 'file', path: '/other/disk.img' })).storage_objects;
  t.like(file, { name: 'disk', dev: '/other/disk.img', wwn: undefined });
});

const ONE = 'iqn.2026-01.com.example:one';
const TWO = 'iqn.2026-01.com.example:two';
const SECRET = { user: 'u', secret: 'a secret of some length' };
const PROOF = { chap_userid: 'u', chap_password: SECRET.secret };

/** A target with two disks over iSCSI, which was never at LIO. */
function offered(iscsi: object): { readonly attributes: object; readonly node_acls: readonly object[] } {
  const disks = { a: { kind: 'null', size: 512 }, b: { kind: 'null', size: 512 } } as const;
  const luns = [
    { lun: 0, disk: 'a' },
    { lun: 3, disk: 'b' },
  ];
  const target = { acls: [], others: 'refused', demo: false, ...iscsi } as const;
  const addresses = [{ host: '127.0.0.1', port: 3260 }];
  return exported({ version: 1, disks, targets: [{ luns }], iscsi: { addresses, target } }).targets[0]
    .tpgs[0];
}

test('an ACL that shows all LUNs maps all of them', (t) => {
  const { node_acls } = offered({ acls: [{ initiator: ONE, readOnly: true }] });
  const { mapped_luns } = node_acls[0] as { readonly mapped_luns: readonly { readonly alias: string }[] };
  t.deepEqual(
    mapped_luns.map(({ alias: _alias, ...mapped }) => mapped),
    [
      { index: 0, tpg_lun: 0, write_protect: true },
      { index: 3, tpg_lun: 3, write_protect: true },
    ] as object[],
  );
});

test('an initiator proves to LIO what it proved here', (t) => {
  const same = offered({ acls: [{ initiator: ONE }], credentials: SECRET });
  t.like(same, {
    attributes: { authentication: 1 },
    node_acls: [{ node_wwn: ONE, ...PROOF, attributes: {} }],
  });
  const mixed = offered({ acls: [{ initiator: ONE }, { initiator: TWO, credentials: SECRET }] });
  t.like(mixed, {
    attributes: { authentication: 1 },
    node_acls: [{ attributes: { authentication: 0 } }, { ...PROOF, attributes: {} }],
  });
});

test('a secret that an imported ACL is given is asked for at LIO, and one that is taken away is gone', (t) => {
  const unproved = { ...ACL, attributes: { authentication: 0 } };
  const tpg = { ...TPG, node_acls: [unproved, { ...ACL, node_wwn: ONE }] };
  const before = configurationOf({ ...STRANGE, targets: [{ ...ISCSI, tpgs: [tpg] }] });
  const [target] = before.targets;
  const [first, second] = target.iscsi!.acls;
  t.is(first.credentials, undefined);
  const acls = [
    { ...first, credentials: SECRET },
    { ...second, credentials: undefined },
  ];
  const changed = { ...before, targets: [{ ...target, iscsi: { ...target.iscsi!, acls } }] };
  t.like(exported(changed).targets[0].tpgs[0].node_acls, {
    0: { ...PROOF, attributes: { authentication: 1 } },
    1: { chap_userid: '', chap_password: '', attributes: { authentication: 0 } },
  });
});

test('what virtual machines see is an ACL each, and mapped LUNs of a LUN that is gone go with it', (t) => {
  const before = configurationOf(STRANGE);
  const [iscsi, vhost] = before.targets;
  const [socket] = vhost.sockets!;
  const added = {
    path: '/run/two.sock',
    role: 'listen',
    luns: [{ lun: 1, targetLun: 0, writeProtected: true }],
  } as const;
  const targets = [iscsi, { ...vhost, sockets: [socket, added] }];
  const { node_acls } = exported({ ...before, targets }).targets[3].tpgs[0];
  t.deepEqual(node_acls[0], VHOST.tpgs[0].node_acls[0]);
  t.like(node_acls[1], { mapped_luns: [{ index: 1, tpg_lun: 0, write_protect: true }] });
  t.regex((node_acls[1] as { readonly node_wwn: string }).node_wwn, /^naa\.[0-9a-f]{16}$/);
  const without = exported(withoutLun(before, 1, 5)).targets[3].tpgs[0].node_acls;
  t.deepEqual(without, [{ ...VHOST.tpgs[0].node_acls[0], mapped_luns: [] }]);
});
