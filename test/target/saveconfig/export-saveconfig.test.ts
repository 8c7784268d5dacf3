/** The way back to LIO: nothing that was imported is lost, and what was changed is changed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../../qemu/package-root.ts';
import { withLun, withoutLun } from '../../../src/target/configuration/changes.ts';
import type { Configuration } from '../../../src/target/configuration/schema.ts';
import { exportSaveconfig } from '../../../src/target/saveconfig/export-saveconfig.ts';
import { importSaveconfig } from '../../../src/target/saveconfig/import-saveconfig.ts';
import { FILE, IQN, ISCSI, RAM, TPG, VHOST } from '../../support/saveconfig.ts';

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
const exported = (configuration: Configuration) =>
  exportSaveconfig(configuration, ['naa.5001405000000001']).document as unknown as Lio;

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
