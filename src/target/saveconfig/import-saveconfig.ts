/**
 * LIO's saveconfig.json as a configuration of ours. What cannot be served is left out and reported; nobody gets in who
 * was kept out before. The document itself goes along, for `exportSaveconfig`.
 */

import { parseWhole } from '../configuration/configuration-file.ts';
import type { Configuration } from '../configuration/schema.ts';
import { CONFIGURATION_VERSION, NAA_PORT } from '../configuration/schema.ts';
import { type ImportedDisk, importDisks } from './import-disks.ts';
import { type IscsiTarget, importDiscovery, importIscsi, importMappedLuns, isLun } from './import-iscsi.ts';
import { type Note, Notes } from './notes.ts';
import { type LioTarget, type LioTpg, type Saveconfig, saveconfigSchema } from './saveconfig-spec.ts';

export interface Imported {
  readonly configuration: Configuration;
  readonly notes: readonly Note[];
  /** What became of storage objects and portal groups, in the order of the configuration's disks and targets. */
  readonly disks: readonly ImportedDisk[];
  readonly targets: readonly ImportedTarget[];
}

export interface ImportedTarget {
  readonly lio: LioTarget;
  readonly tpg: LioTpg;
  readonly target: Target;
}

type Target = Configuration['targets'][number];

const EXPECTED =
  'A saveconfig.json is expected, as targetcli writes it; `serve --config` takes a configuration as it is.';
const NO_RDMA = 'it needs hardware and drivers of the kernel that a process cannot be a target with';
const REFUSED: Readonly<Record<string, string>> = {
  srpt: `SRP: ${NO_RDMA}`,
  qla2xxx: `Fibre Channel: ${NO_RDMA}`,
  efct: `Fibre Channel: ${NO_RDMA}`,
  tcm_fc: `Fibre Channel over Ethernet: ${NO_RDMA}`,
  sbp: `FireWire: ${NO_RDMA}`,
  'xen-pvscsi': 'Xen: its ring is a matter of the hypervisor, which only the kernel can be asked by',
  usb_gadget: `USB: ${NO_RDMA}`,
};

/** `path` is for messages. Throws LunportError for what is no saveconfig.json. */
export function importSaveconfig(document: unknown, path: string): Imported {
  const saveconfig = parseWhole(saveconfigSchema, document, path, EXPECTED);
  const notes = new Notes();
  const disks = importDisks(saveconfig.storage_objects, notes);
  const targets = importTargets(saveconfig, disks, notes);
  const addresses = distinct(targets.flatMap(({ target }) => target.iscsi?.addresses ?? []));
  const discoveryCredentials = importDiscovery(saveconfig);
  const configuration: Configuration = {
    version: CONFIGURATION_VERSION,
    disks: Object.fromEntries(disks.map(({ name, disk }) => [name, disk])),
    targets: targets.map(({ target }) => target),
    ...(addresses.length === 0
      ? {}
      : {
          iscsi: {
            addresses,
            ...(discoveryCredentials === undefined ? {} : { discoveryCredentials }),
            target: { acls: [], others: 'refused', demo: false },
          },
        }),
    saveconfig: document as Record<string, unknown>,
  };
  return { configuration, notes: notes.all, disks, targets };
}

function importTargets(
  { targets }: Saveconfig,
  disks: readonly ImportedDisk[],
  notes: Notes,
): ImportedTarget[] {
  const imported: ImportedTarget[] = [];
  const names = new Set<string>();
  for (const lio of targets) {
    const object = `/${lio.fabric}/${lio.wwn}`;
    if (!['iscsi', 'vhost', 'loopback'].includes(lio.fabric)) {
      notes.refused(object, REFUSED[lio.fabric] ?? `lunport knows no fabric "${lio.fabric}"`);
      continue;
    }
    for (const tpg of lio.tpgs) {
      const place = `${object}/tpg${tpg.tag}`;
      if (!tpg.enable) notes.refused(place, 'it is disabled');
      else if (names.has(object)) notes.refused(place, 'one portal group of a target is served, its first');
      else {
        const target = importTpg(lio, tpg, disks, place, notes);
        if (target === undefined) continue;
        names.add(object);
        imported.push({ lio, tpg, target });
      }
    }
  }
  return imported;
}

function importTpg(
  { fabric, wwn }: LioTarget,
  tpg: LioTpg,
  disks: readonly ImportedDisk[],
  object: string,
  notes: Notes,
): Target | undefined {
  const luns = importLuns(tpg, disks, object, notes);
  const numbers = new Set(luns.map(({ lun }) => lun));
  if (fabric === 'iscsi') {
    const iscsi = importIscsi(wwn, tpg, numbers, object, notes);
    return iscsi === undefined ? undefined : { luns, iscsi };
  }
  if (!NAA_PORT.test(wwn.toLowerCase())) return notes.refused(object, `"${wwn}" is no NAA name`);
  if (fabric === 'loopback')
    notes.ignored(object, 'it is served at a socket; `lunport attach` makes devices of this host');
  // Each ACL is an initiator, and so a socket of its own.
  const known = tpg.node_acls.filter(({ node_wwn }) => {
    if (NAA_PORT.test(node_wwn.toLowerCase())) return true;
    notes.refused(`${object}/acls/${node_wwn}`, 'it is no NAA name');
    return false;
  });
  // Without a socket nobody gets in; a socket for everybody would let in more than before.
  if (tpg.node_acls.length > 0 && known.length === 0) return undefined;
  const sockets = known.map((acl) => ({
    role: 'listen' as const,
    initiator: acl.node_wwn.toLowerCase(),
    luns: importMappedLuns(acl, numbers, `${object}/acls/${acl.node_wwn}`, notes),
  }));
  return { wwn: wwn.toLowerCase(), ...(sockets.length === 0 ? {} : { sockets }), luns, iscsi: null };
}

function importLuns(
  tpg: LioTpg,
  disks: readonly ImportedDisk[],
  object: string,
  notes: Notes,
): Target['luns'] {
  const used = new Set<string>();
  const numbers = new Set<number>();
  return tpg.luns.flatMap(({ index, storage_object, alua_tg_pt_gp_name }) => {
    const place = `${object}/lun${index}`;
    const name = disks.find(({ path }) => path === storage_object)?.name;
    if (name === undefined) notes.refused(place, `${storage_object} is not imported`);
    else if (used.has(name))
      notes.refused(place, `${storage_object} is at another LUN of this target already`);
    else if (!isLun(index) || numbers.has(index)) notes.refused(place, `LUN ${index} cannot be had`);
    else {
      used.add(name);
      numbers.add(index);
      if ((alua_tg_pt_gp_name ?? 'default_tg_pt_gp') !== 'default_tg_pt_gp')
        notes.ignored(place, `target port group ${alua_tg_pt_gp_name}`);
      return [{ lun: index, disk: name }];
    }
    return [];
  });
}

function distinct(addresses: readonly NonNullable<IscsiTarget['addresses']>[number][]) {
  return [...new Map(addresses.map((address) => [`${address.host} ${address.port}`, address])).values()];
}
