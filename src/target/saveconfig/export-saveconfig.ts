/**
 * A configuration as LIO's saveconfig.json. Where it was imported from one, that one is written again with what has
 * changed since, so that everything that lunport does not understand in it comes back as it was.
 */
import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Configuration, DiskDescription } from '../configuration/schema.ts';
import { iscsiName } from '../iscsi-fabric.ts';
import type { IscsiTarget } from './import-iscsi.ts';
import { importSaveconfig } from './import-saveconfig.ts';
import { type Note, Notes } from './notes.ts';
import { storageObjectPath } from './saveconfig-spec.ts';

type Json = Record<string, unknown>;
type Target = Configuration['targets'][number];
type Credentials = NonNullable<IscsiTarget['credentials']>;

export interface Exported {
  readonly document: Json;
  readonly notes: readonly Note[];
}

/** `wwns`: of the targets, by their place, where the configuration does not say. Throws LunportError. */
export function exportSaveconfig(configuration: Configuration, wwns: readonly string[]): Exported {
  const notes = new Notes();
  const before = configuration.saveconfig ?? {};
  const base = importSaveconfig(before, 'saveconfig');
  const objects = exportDisks(configuration, base, notes);
  const targets = exportTargets(configuration, base, objects.paths, wwns, notes);
  if (configuration.nbd !== undefined) notes.ignored('nbd', 'LIO has no NBD');
  const document = {
    ...before,
    fabric_modules: exportDiscovery(configuration, base, arrayIn(before, 'fabric_modules')),
    storage_objects: objects.all,
    targets,
  };
  return { document: sorted(document) as Json, notes: notes.all };
}

type Base = ReturnType<typeof importSaveconfig>;

function exportDisks({ disks }: Configuration, base: Base, notes: Notes) {
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
    taken.add(known.name);
    paths.set(known.name, path);
    if (isDeepStrictEqual(plain(disk), plain(known.disk))) return [original];
    const { attributes, ...fields } = storageObject(known.name, disk, notes);
    const { plugin: _plugin, name: _name, ...changed } = fields;
    return [{ ...original, ...changed, attributes: { ...(original.attributes as Json), ...attributes } }];
  });
  const added = Object.entries(disks).flatMap(([name, disk]) => {
    if (taken.has(name)) return [];
    const object = storageObject(name, disk, notes);
    paths.set(name, `/backstores/${object.plugin}/${object.name}`);
    return [object];
  });
  return { all: [...kept, ...added], paths };
}

function storageObject(name: string, disk: DiskDescription, notes: Notes) {
  const { blockSize = 512, serial, cache = 'writeback', protection, identity } = disk;
  const object = `/backstores/${disk.kind === 'file' ? 'fileio' : 'ramdisk'}/${name}`;
  if (protection !== undefined) notes.ignored(object, 'protection information');
  if (disk.removable) notes.ignored(object, 'LIO has no removable disks');
  if (serial === undefined || identity === undefined)
    notes.ignored(object, 'its NAA is another one at LIO, which derives it from the serial number');
  const writeBack = cache === 'writeback' || cache === 'none';
  const attributes = { block_size: blockSize, emulate_write_cache: writeBack ? 1 : 0, ...disk.attributes };
  const common = { name, ...(serial === undefined ? {} : { wwn: serial }), alua_tpgs: [], attributes };
  if (disk.kind !== 'file') {
    return { ...common, plugin: 'ramdisk', size: disk.size, nullio: disk.kind === 'null' };
  }
  if (disk.path.startsWith('/dev/')) {
    return {
      ...common,
      plugin: 'block',
      dev: disk.path,
      write_back: false,
      readonly: disk.readOnly === true,
    };
  }
  if (disk.readOnly) notes.ignored(object, 'a file of LIO is not read-only; map its LUN write-protected');
  return {
    ...common,
    plugin: 'fileio',
    dev: disk.path,
    size: disk.size ?? 0,
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
      (tpg.tag ?? 1) === known.tpg.tag ? exportTpg(tpg, known.target, now.target, now.offer, paths) : tpg,
    );
    return [{ ...original, tpgs }];
  });
  const added = current.flatMap(({ fabric, wwn, target, offer }) => {
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
    return [{ fabric, wwn, parameters: {}, tpgs: [exportTpg(tpg, none, target, offer, paths)] }];
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
  { luns }: Target,
  offer: IscsiTarget | undefined,
  paths: ReadonlyMap<string, string>,
): Json {
  const gone = before.luns.filter((old) => !luns.some((now) => isDeepStrictEqual(plain(now), plain(old))));
  const come = luns.filter((now) => !before.luns.some((old) => isDeepStrictEqual(plain(now), plain(old))));
  const result: Json =
    gone.length + come.length === 0
      ? tpg
      : {
          ...tpg,
          luns: [
            ...arrayIn(tpg, 'luns').filter(({ index }) => !gone.some(({ lun }) => lun === index)),
            ...come.map(({ lun, disk }) => ({ index: lun, storage_object: paths.get(disk), alias: alias() })),
          ],
        };
  if (offer === undefined || isDeepStrictEqual(plain(offer), plain(before.iscsi))) return result;
  const old = before.iscsi ?? undefined;
  return {
    ...result,
    attributes: { ...(tpg.attributes as Json), ...exportAccess(offer) },
    ...exportChap(offer.credentials),
    portals: exportPortals(arrayIn(tpg, 'portals'), old, offer),
    node_acls: exportAcls(arrayIn(tpg, 'node_acls'), old, offer),
  };
}

function exportAccess({ others, credentials, acls }: IscsiTarget): Json {
  const proof = credentials !== undefined || acls.some((acl) => acl.credentials !== undefined);
  return {
    authentication: proof ? 1 : 0,
    generate_node_acls: others === 'refused' ? 0 : 1,
    demo_mode_write_protect: others === 'admitted' ? 0 : 1,
  };
}

function exportPortals(portals: readonly Json[], before: IscsiTarget | undefined, now: IscsiTarget): Json[] {
  if (isDeepStrictEqual(plain(before?.addresses), plain(now.addresses))) return [...portals];
  return (now.addresses ?? []).map(({ host, port }) => {
    const ip_address = host.includes(':') ? `[${host}]` : host;
    const known = portals.find((portal) => portal.ip_address === ip_address && portal.port === port);
    return known ?? { ip_address, port, iser: false, offload: false };
  });
}

function exportAcls(nodeAcls: readonly Json[], before: IscsiTarget | undefined, now: IscsiTarget): Json[] {
  const nameOf = (acl: Json) => String(acl.node_wwn).toLowerCase();
  const old = before?.acls ?? [];
  const kept = nodeAcls.flatMap((original) => {
    const was = old.find(({ initiator }) => initiator === nameOf(original));
    const is = now.acls.find(({ initiator }) => initiator === nameOf(original));
    if (was === undefined) return [original];
    if (is === undefined) return [];
    return [isDeepStrictEqual(plain(was), plain(is)) ? original : { ...original, ...exportAcl(is) }];
  });
  const added = now.acls.filter(({ initiator }) => !nodeAcls.some((acl) => nameOf(acl) === initiator));
  return [...kept, ...added.map((acl) => ({ attributes: {}, ...exportAcl(acl) }))];
}

function exportAcl({
  initiator,
  credentials,
  luns = [],
  readOnly = false,
}: IscsiTarget['acls'][number]): Json {
  return {
    node_wwn: initiator,
    mapped_luns: luns.map(({ lun, targetLun, writeProtected }) => ({
      index: lun,
      tpg_lun: targetLun,
      write_protect: writeProtected || readOnly,
      alias: alias(),
    })),
    ...exportChap(credentials),
  };
}

function exportChap(credentials: Credentials | undefined): Json {
  if (credentials === undefined) return {};
  const { user, secret, mutualUser = '', mutualSecret = '' } = credentials;
  return {
    chap_userid: user,
    chap_password: secret,
    chap_mutual_userid: mutualUser,
    chap_mutual_password: mutualSecret,
  };
}

function exportDiscovery({ iscsi }: Configuration, base: Base, modules: readonly Json[]): Json[] {
  const credentials = iscsi?.discoveryCredentials;
  if (isDeepStrictEqual(plain(credentials), plain(base.configuration.iscsi?.discoveryCredentials)))
    return [...modules];
  const others = modules.filter(({ name }) => name !== 'iscsi');
  const own = modules.find(({ name }) => name === 'iscsi') ?? { name: 'iscsi' };
  const { user = '', secret = '', mutualUser = '', mutualSecret = '' } = credentials ?? {};
  const discovery = {
    discovery_enable_auth: credentials !== undefined,
    discovery_userid: user,
    discovery_password: secret,
    discovery_mutual_userid: mutualUser,
    discovery_mutual_password: mutualSecret,
  };
  return [...others, { ...own, ...discovery }];
}

function alias(): string {
  return randomBytes(5).toString('hex');
}

function arrayIn(object: Readonly<Record<string, unknown>>, key: string): Json[] {
  return (object[key] as Json[] | undefined) ?? [];
}

/** Without keys that say nothing. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

/** Keys in order, as rtslib writes them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}
