/** Storage objects of LIO as disks of ours. What cannot be one is refused, with the reason. */

import { DISK_NAME, type DiskDescription } from '../configuration/schema.ts';
import { ATTRIBUTE_NAMES, BLOCK_SIZES, SERIAL } from '../disk-spec.ts';
import { lioIdentity } from './lio-identity.ts';
import type { Notes } from './notes.ts';
import { type StorageObject, storageObjectPath } from './saveconfig-spec.ts';

export interface ImportedDisk {
  /** As LUNs of LIO name it. */
  readonly path: string;
  /** In our configuration. */
  readonly name: string;
  readonly disk: DiskDescription;
}

const REFUSED: Readonly<Record<string, string>> = {
  pscsi:
    'it passes CDBs on to a SCSI device of the host, which lunport does not do: import a block storage object',
  user: 'its handler is a process that speaks TCMU: serve what is behind it as a file or a block device',
};
/** Names of older versions of rtslib. */
const PLUGINS: Readonly<Record<string, string>> = { iblock: 'block', rd_mcp: 'ramdisk' };

/** What a backstore here finds out by itself; only a "no" is taken over. */
const FOUND_OUT = new Set(['emulate_tpu', 'emulate_tpws', 'unmap_zeroes_data']);
/** Said elsewhere in a configuration, or without a meaning outside the kernel. */
const SILENT = /^(block_size|emulate_write_cache|hw_\w+|alua_tg_pt_gps|emulate_model_alias)$/;
/** LIO's own; one that differs and that we do not have is reported. */
const LIO_DEFAULTS: Readonly<Record<string, number>> = {
  enforce_pr_isids: 1,
  submit_type: 0,
  pi_prot_type: 0,
  pi_prot_format: 0,
  pi_prot_verify: 0,
  complete_type: 0,
};

export function importDisks(objects: readonly StorageObject[], notes: Notes): ImportedDisk[] {
  const names = new Set<string>();
  const twice = (name: string) => objects.filter((each) => each.name === name).length > 1;
  return objects.flatMap((object) => {
    const plugin = PLUGINS[object.plugin] ?? object.plugin;
    const disk = importDisk({ ...object, plugin }, notes);
    if (disk === undefined) return [];
    const name = (twice(object.name) ? `${plugin}-${object.name}` : object.name).replace(/[/\s]/g, '-');
    if (names.has(name) || !DISK_NAME.test(name) || name === '__proto__') {
      notes.refused(
        storageObjectPath(object),
        names.has(name) ? 'another storage object has its name' : 'its name cannot be had',
      );
      return [];
    }
    names.add(name);
    return [{ path: storageObjectPath(object), name, disk }];
  });
}

/** What an attribute may be. */
function isWord(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

function importDisk(object: StorageObject, notes: Notes): DiskDescription | undefined {
  const path = storageObjectPath(object);
  const { plugin, dev, size, attributes, wwn } = object;
  const blockSize = Number(attributes.block_size ?? 512);
  if (!BLOCK_SIZES.includes(blockSize))
    return notes.refused(path, `blocks of ${blockSize} bytes are not offered`);
  if (wwn !== undefined && !SERIAL.test(wwn)) return notes.refused(path, `"${wwn}" is no serial number`);
  for (const { name } of object.alua_tpgs) {
    if (name !== 'default_tg_pt_gp')
      notes.ignored(path, `target port group ${name}: paths are all active/optimized`);
  }
  const common = {
    ...(blockSize === 512 ? {} : { blockSize }),
    ...(wwn === undefined ? {} : { serial: wwn, identity: lioIdentity(object, wwn) }),
    ...importAttributes(path, attributes, notes),
  };
  if (wwn === undefined) notes.ignored(path, 'it has no wwn: its serial number and NAA are derived anew');
  switch (plugin) {
    case 'fileio':
    case 'block': {
      if (!dev || dev.includes('\0')) return notes.refused(path, 'it names no file and no device');
      const cached = object.write_back === true && attributes.emulate_write_cache !== 0;
      // Block storage objects go past the page cache.
      const cache = plugin === 'block' ? 'none' : cached ? undefined : 'writethrough';
      const readOnly = object.readonly === true ? { readOnly: true } : {};
      return { kind: 'file', path: dev, ...(cache === undefined ? {} : { cache }), ...readOnly, ...common };
    }
    case 'ramdisk':
      if (!size || size < 0 || !Number.isSafeInteger(size) || size % blockSize !== 0)
        return notes.refused(path, `${size} bytes are no size`);
      return { kind: object.nullio === true ? 'null' : 'ram', size, ...common };
    default:
      return notes.refused(path, REFUSED[plugin] ?? `lunport knows no plugin "${plugin}"`);
  }
}

function importAttributes(
  path: string,
  attributes: StorageObject['attributes'],
  notes: Notes,
): { attributes?: Record<string, number> } {
  const taken: Record<string, number> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (SILENT.test(name) || (FOUND_OUT.has(name) && value !== 0)) continue;
    if (ATTRIBUTE_NAMES.includes(name) && typeof value === 'number' && isWord(value)) taken[name] = value;
    else if (LIO_DEFAULTS[name] !== value) notes.ignored(path, `attribute ${name} = ${value}`);
  }
  return Object.keys(taken).length === 0 ? {} : { attributes: taken };
}
