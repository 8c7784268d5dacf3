/** From a DISK as the user wrote it to a logical unit: backstore, identity, attributes, durable state. */
import { isWriteThrough } from '../backstores/cache-mode.ts';
import { FileBackstore } from '../backstores/file-backstore.ts';
import { NullBackstore } from '../backstores/null-backstore.ts';
import type { OpenBackstore } from '../backstores/open-backstore.ts';
import { openFile } from '../backstores/open-file.ts';
import { awaitAnswer } from '../backstores/patience.ts';
import { RamBackstore } from '../backstores/ram-backstore.ts';
import { DamagedStateError } from '../scsi/damaged-state-error.ts';
import { DEFAULT_ATTRIBUTES, type DeviceAttributes } from '../scsi/device-attributes.ts';
import { Disk } from '../scsi/disk.ts';
import { closeAll } from './close-all.ts';
import { deriveSerial, diskIdentity, diskSerial, givenIdentity } from './disk-identity.ts';
import type { DiskSpec } from './disk-spec.ts';
import { LunportError } from './errors.ts';
import { FileStateStore } from './file-state-store.ts';
import { powerOnId } from './power-on-id.ts';
import type { Shard } from './shard.ts';

const PROTECTION_LENGTH = 8;
/** Bytes; what the file of protection information is rounded up to. */
const PAGE = 4096;

export interface ServedDisk {
  readonly spec: DiskSpec;
  readonly backstore: OpenBackstore;
  /** Where protection information lies, when there is room for it. */
  readonly protection: OpenBackstore | undefined;
  readonly unit: Disk;
  /** Where reservations and saved pages live, when they are to be kept. */
  readonly store: FileStateStore | undefined;
}

export interface OpenDiskOptions {
  readonly shard: Shard;
  /** Tells disks without a path apart: `ram:1G` twice is two disks. */
  readonly place: string;
  /** Directory for reservations and saved pages; undefined keeps them in memory. */
  readonly stateDirectory: string | undefined;
}

/**
 * Resolves when the disk can be opened, or refused, without a wait for a server that never answers. Throws LunportError
 * when nobody answers.
 */
export async function awaitDisk({ kind, name }: Pick<DiskSpec, 'kind' | 'name'>): Promise<void> {
  if (kind === 'file') await awaitAnswer(name);
}

/** Throws LunportError when the disk cannot be had; nothing stays open then. */
export function openDisk(spec: DiskSpec, options: OpenDiskOptions): ServedDisk {
  const { shard } = options;
  const backstore = openBackstore(spec, shard);
  let protection: OpenBackstore | undefined;
  let store: FileStateStore | undefined;
  const serial = diskSerial(spec) ?? deriveSerial(options.place);
  // What is in memory only is gone with the process, and so are the reservations on it.
  const durable = spec.kind === 'file' && options.stateDirectory !== undefined;
  try {
    protection = openProtection(spec, backstore, shard);
    if (durable) store = new FileStateStore(options.stateDirectory, serial, spec.share || spec.readOnly);
    const unit = new Disk(shard.environment, backstore, {
      identity: givenIdentity(spec, serial) ?? diskIdentity(serial, `lunport ${spec.kind}`),
      attributes: {
        ...attributesOf(backstore, spec.blockSize, isWriteThrough(spec.cache)),
        ...spec.attributes,
        pi_prot_type: spec.protection ?? 0,
      },
      protection,
      removable: spec.removable,
      store,
      powerOnId: powerOnId(),
    });
    return { spec, backstore, protection, unit, store };
  } catch (error) {
    closeBackstores({ backstore, protection, store }).catch(() => {});
    throw error instanceof DamagedStateError ? damagedState(spec, store!, error) : error;
  }
}

/**
 * Takes over a new size: `size` in bytes for a file that is to grow, undefined when the backing has changed by itself.
 * True when it did change, and initiators were told. Throws LunportError.
 */
export async function resizeDisk(
  { spec, backstore, protection, unit }: ServedDisk,
  size?: number,
): Promise<boolean> {
  if (size !== undefined) {
    if (size % spec.blockSize !== 0) throw oddSize(spec, size);
    if (backstore.resize === undefined) throw fixedSize(spec);
    await backstore.resize(size);
  } else await backstore.refresh?.();
  await protection?.resize?.(Math.max(protection.byteLength, protectionSize(backstore, spec.blockSize)));
  const before = unit.blockCount;
  if (Math.floor(backstore.byteLength / unit.blockSize) !== before) unit.capacityChanged();
  return unit.blockCount !== before;
}

function oddSize({ name, blockSize }: DiskSpec, size: number): LunportError {
  return new LunportError({
    code: 'size-odd',
    object: name,
    message: `${size} bytes are not a multiple of the ${blockSize}-byte blocks of ${name}`,
  });
}

function fixedSize({ name }: DiskSpec): LunportError {
  return new LunportError({
    code: 'size-fixed',
    object: name,
    message: `${name} cannot grow`,
    hint: 'only files do; add another disk instead',
  });
}

/** Makes a disk durable and gives it back. */
export function closeBackstores(
  disk: Pick<ServedDisk, 'backstore'> & Partial<Pick<ServedDisk, 'protection' | 'store'>>,
): Promise<void> {
  return closeAll([() => disk.backstore.close(), () => disk.protection?.close(), () => disk.store?.close()]);
}

/** Eight bytes per block (SBC-3 4.22), beside the data: in a sparse file of its own, or in memory. */
function openProtection(spec: DiskSpec, backstore: OpenBackstore, shard: Shard): OpenBackstore | undefined {
  if (spec.protection === undefined) return undefined;
  const size = protectionSize(backstore, spec.blockSize);
  const name = `${spec.name}.pi`;
  if (spec.kind !== 'file') return new RamBackstore(name, size, shard.engine, shard.memory, spec.readOnly);
  const { readOnly, share } = spec;
  const opened = openFile({
    path: name,
    readOnly,
    size,
    share,
    create: true,
    // The disk may have grown while nobody served it, or until its server was killed.
    grow: true,
    blockSize: PAGE,
    cache: 'writeback',
  });
  return new FileBackstore(opened, shard.engine, shard.memory);
}

/** Bytes of protection information for all blocks, in whole pages. */
function protectionSize(backstore: OpenBackstore, blockSize: number): number {
  return Math.ceil(((backstore.byteLength / blockSize) * PROTECTION_LENGTH) / PAGE) * PAGE;
}

function damagedState(spec: DiskSpec, store: FileStateStore, cause: DamagedStateError): LunportError {
  return new LunportError({
    code: cause.code,
    object: spec.name,
    message: `${spec.name}: ${cause.message}`,
    hint: `Put ${store.path(cause.entry)} back from a copy; or, when no other host uses the disk, move it away.`,
    cause,
  });
}

function openBackstore(spec: DiskSpec, shard: Shard): OpenBackstore {
  switch (spec.kind) {
    case 'ram':
      return new RamBackstore(spec.name, spec.size!, shard.engine, shard.memory, spec.readOnly);
    case 'null':
      return new NullBackstore(spec.name, spec.size!, spec.readOnly);
    case 'file': {
      const { name, readOnly, size, blockSize, cache, create, share } = spec;
      const opened = openFile({ path: name, readOnly, size, blockSize, cache, create, share });
      return new FileBackstore(opened, shard.engine, shard.memory);
    }
  }
}

/** The attributes that the backstore can keep; `blockSize` in bytes. */
export function attributesOf(
  backstore: OpenBackstore,
  blockSize: number,
  writeThrough = false,
): DeviceAttributes {
  const { capabilities } = backstore;
  return {
    ...DEFAULT_ATTRIBUTES,
    block_size: blockSize,
    emulate_write_cache: capabilities.volatileCache && !writeThrough ? 1 : 0,
    emulate_tpu: capabilities.unmap ? 1 : 0,
    emulate_tpws: capabilities.unmap ? 1 : 0,
    unmap_zeroes_data: capabilities.unmapReadsZero ? 1 : 0,
    is_nonrot: capabilities.rotational ? 0 : 1,
  };
}
