/**
 * A configuration as LIO's saveconfig.json. Where it was imported from one, that one is written again with what has
 * changed since, so that everything that lunport does not understand in it comes back as it was.
 */
import type { Configuration, DiskDescription } from '../configuration/schema.ts';
import { iscsiName } from '../iscsi-fabric.ts';
import { exportDiscovery, exportIscsiAccess, exportVhostAccess, withoutDangling } from './export-access.ts';
import type { IscsiTarget } from './import-iscsi.ts';
import { importSaveconfig } from './import-saveconfig.ts';
import { alias, arrayIn, equal, type Json, sorted } from './lio-json.ts';
import { type Note, Notes } from './notes.ts';
import { storageObjectPath } from './saveconfig-spec.ts';

type Target = Configuration['targets'][number];

export interface Exported {
  readonly document: Json;
  readonly notes: readonly Note[];
}

/** What a configuration leaves to be found out, and LIO's file has to say. */
export interface Surroundings {
  /** WWNs of the targets, by their place, where the configuration does not say. */
  readonly wwns: readonly string[];
  /** Bytes of a regular file; undefined for what is none, or not there. */
  readonly sizeOf: (path: string) => number | undefined;
}

/** Throws LunportError. */
export function exportSaveconfig(configuration: Configuration, { wwns, sizeOf }: Surroundings): Exported {
  const notes = new Notes();
  const before = configuration.saveconfig ?? {};
  const base = importSaveconfig(before, 'saveconfig');
  const objects = exportDisks(configuration, base, sizeOf, notes);
  const targets = exportTargets(configuration, base, objects.paths, wwns, notes);
  if (configuration.nbd !== undefined) notes.ignored('nbd', 'LIO has no NBD');
  const document = {
    ...before,
    fabric_modules: exportDiscovery(
      configuration.iscsi?.discoveryCredentials,
      base.configuration.iscsi?.discoveryCredentials,
      arrayIn(before, 'fabric_modules'),
    ),
    storage_objects: objects.all,
    targets,
  };
  return { document: sorted(document) as Json, notes: notes.all };
}

type Base = ReturnType<typeof importSaveconfig>;

function exportDisks({ disks }: Configuration, base: Base, sizeOf: Surroundings['sizeOf'], notes: Notes) {
  const originals = arrayIn(base.configuration.saveconfig!, 'storage_objects');
  const paths = new Map<string, string>();
  const taken = new Set<string>();
  const kept = originals.flatMap((original) => {
    const path = storageObjectPath(original as { plugin: string; name: string });
    const known = base.disks.find((each) => each.path === path);
    // What was not imported is not ours to leave out.
    if (known === undefined) return [original];
    if (!Object.hasOwn(disks, known.name)) return [];
    const disk = disks[known.name];
    // Another disk, which happens to have the name.
    if ((disk.kind === 'file') !== (known.disk.kind === 'file')) return [];
    taken.add(known.name);
    paths.set(known.name, path);
    // LIO takes the size that it is told, and not the file's.
    const size = original.plugin === 'fileio' && disk.kind === 'file' ? sizeOf(disk.path) : undefined;
    const grown = size === undefined ? {} : { size };
    if (equal(disk, known.disk)) return [{ ...original, ...grown }];
    const { attributes, ...fields } = storageObject(known.name, disk, sizeOf, notes);
    // What lunport has no say in stays as it was.
    const {
      plugin: _plugin,
      name: _name,
      alua_tpgs: _groups,
      aio: _aio,
      ...changed
    } = {
      aio: undefined,
      ...fields,
    };
    const { wwn: _wwn, ...rest } = original;
    return [{ ...rest, ...changed, attributes: { ...(original.attributes as Json), ...attributes } }];
  });
  const added = Object.entries(disks).flatMap(([name, disk]) => {
    if (taken.has(name)) return [];
    const object = storageObject(name, disk, sizeOf, notes);
    paths.set(name, `/backstores/${object.plugin}/${object.name}`);
    return [object];
  });
  return { all: [...kept, ...added], paths };
}

function storageObject(name: string, disk: DiskDescription, sizeOf: Surroundings['sizeOf'], notes: Notes) {
  const { blockSize = 512, serial, cache = 'writeback', protection, identity } = disk;
  const object = `/backstores/${disk.kind === 'file' ? 'fileio' : 'ramdisk'}/${name}`;
  if (protection !== undefined) notes.ignored(object, 'protection information');
  if (disk.removable) notes.ignored(object, 'LIO has no removable disks');
  if (serial === undefined || identity === undefined)
    notes.ignored(object, 'its NAA is another one at LIO, which derives it from the serial number');
  const writeBack = cache === 'writeback' || cache === 'none';
  const isDevice = disk.kind === 'file' && disk.path.startsWith('/dev/');
  const attributes = {
    block_size: blockSize,
    // That of a block storage object is the device's.
    ...(isDevice ? {} : { emulate_write_cache: writeBack ? 1 : 0 }),
    ...disk.attributes,
  };
  const common = { name, ...(serial === undefined ? {} : { wwn: serial }), alua_tpgs: [], attributes };
  if (disk.kind !== 'file') {
    return { ...common, plugin: 'ramdisk', size: disk.size, nullio: disk.kind === 'null' };
  }
  if (isDevice) {
    return {
      ...common,
      plugin: 'block',
      dev: disk.path,
      write_back: false,
      readonly: disk.readOnly === true,
    };
  }
  const size = sizeOf(disk.path) ?? disk.size;
  if (size === undefined)
    notes.ignored(object, `LIO needs its size: export where ${disk.path} is, or write it there`);
  if (disk.readOnly) notes.ignored(object, 'a file of LIO is not read-only; map its LUN write-protected');
  return {
    ...common,
    plugin: 'fileio',
    dev: disk.path,
    ...(size === undefined ? {} : { size }),
    write_back: writeBack,
    aio: false,
  };
}

function exportTargets(
  configuration: Configuration,
  base: Base,
  paths: ReadonlyMap<string, string>,
  wwns: readonly string[],
  notes: Notes,
): Json[] {
  const { targets, iscsi } = configuration;
  const current = targets.map((target, i): Offered => {
    const own = target.iscsi === undefined ? iscsi?.target : (target.iscsi ?? undefined);
    if (target.device === 'blk')
      notes.ignored(`target ${i}`, 'LIO has no virtio block devices: it becomes vhost-scsi');
    if (iscsi === undefined || own === undefined)
      return { fabric: 'vhost', wwn: target.wwn ?? wwns[i], target };
    const addresses = own.addresses ?? iscsi.addresses;
    return { fabric: 'iscsi', wwn: iscsiName(target.iscsi, iscsi, i), target, offer: { ...own, addresses } };
  });
  const originals = arrayIn(base.configuration.saveconfig!, 'targets') as unknown as Named[];
  const kept = originals.flatMap((original) => {
    const known = base.targets.find(({ lio }) => same(lio, original));
    if (known === undefined) return [{ ...original }];
    const now = current.find((each) => same(each, original));
    if (now === undefined) return [];
    const tpgs = arrayIn(original as unknown as Json, 'tpgs').map((tpg) =>
      (tpg.tag ?? 1) === known.tpg.tag ? exportTpg(tpg, known.target, now, paths, notes) : tpg,
    );
    return [{ ...original, tpgs }];
  });
  const added = current.flatMap((offered) => {
    const { fabric, wwn } = offered;
    if (originals.some((original) => same(original, { fabric, wwn }))) return [];
    const tpg = {
      tag: 1,
      enable: true,
      attributes: {},
      parameters: {},
      luns: [],
      node_acls: [],
      portals: [],
    };
    const none = { luns: [], iscsi: null };
    return [{ fabric, wwn, parameters: {}, tpgs: [exportTpg(tpg, none, offered, paths, notes)] }];
  });
  return [...kept, ...added];
}

/** A target as LIO would find it. */
interface Offered extends Named {
  readonly target: Target;
  readonly offer?: IscsiTarget;
}

interface Named {
  readonly fabric: string;
  readonly wwn: string;
}

/** Vhost and loopback targets are one kind here. */
function same(a: Named, b: Named): boolean {
  return a.wwn.toLowerCase() === b.wwn.toLowerCase() && (a.fabric === 'iscsi') === (b.fabric === 'iscsi');
}

/** `before`: what `tpg` was imported as. */
function exportTpg(
  tpg: Json,
  before: Target,
  { target, offer, fabric, wwn }: Offered,
  paths: ReadonlyMap<string, string>,
  notes: Notes,
): Json {
  const { luns, sockets } = target;
  const gone = before.luns.filter((old) => !luns.some((now) => equal(now, old)));
  const come = luns.filter((now) => !before.luns.some((old) => equal(now, old)));
  const served: Json = {
    ...tpg,
    luns: [
      ...arrayIn(tpg, 'luns').filter(({ index }) => !gone.some(({ lun }) => lun === index)),
      ...come.map(({ lun, disk }) => ({ index: lun, storage_object: paths.get(disk), alias: alias() })),
    ],
  };
  const result = gone.length + come.length === 0 ? tpg : withoutDangling(served);
  const object = `/${fabric}/${wwn}`;
  const guests = exportVhostAccess(tpg, before.sockets, sockets, luns);
  if (offer === undefined) return { ...result, ...guests };
  if (guests !== undefined)
    notes.ignored(object, 'it is an iSCSI target: what virtual machines see is not written');
  if (equal(offer, before.iscsi)) return result;
  return { ...result, ...exportIscsiAccess(result, before.iscsi ?? undefined, offer, luns, object, notes) };
}
