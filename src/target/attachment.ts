/**
 * A disk handed to this host: a file over FUSE with a loop device on top, or the kernel's NBD client on a server of
 * ours. Every operation is a CDB on one I_T nexus, so reservations hold for the host as for any guest.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mountFuse, unmountFuse } from '../fabrics/fuse/fuse-mount.ts';
import { FuseSession } from '../fabrics/fuse/fuse-session.ts';
import { BlockInitiator } from '../fabrics/loopback/block-initiator.ts';
import { NbdServer } from '../fabrics/nbd/nbd-server.ts';
import type { LunMap } from '../scsi/lun-map.ts';
import type { Nexus } from '../scsi/nexus.ts';
import {
  type AttachmentKind,
  type AttachmentRecord,
  attachmentLog,
  attachments,
  isServed,
  makeAttachmentDirectory,
  removeRecord,
  writeRecord,
} from './attachment-record.ts';
import { LunportError } from './errors.ts';
import {
  canUseNbd,
  checkUnused,
  isLoopDevice,
  makeLoopDevice,
  makeNbdDevice,
  removeLoopDevice,
  removeNbdDevice,
  resizeLoopDevice,
} from './host-device.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';
import { attachUblk, bestIsUblk, giveUpUblk, waitingForServer } from './ublk-attachment.ts';

/** A logical unit, wherever it is served. */
export interface AttachSource {
  readonly shard: Shard;
  /** The attachment's own. */
  readonly nexus: Nexus;
  readonly lun: number;
  /** For a fabric that makes its own nexuses: a map with the unit at LUN 0 and nothing else. */
  readonly lunMap: () => LunMap;
  /** How a user names it: a DISK, or SOCKET:LUN of a running lunport. */
  readonly disk: string;
  /** Socket of the target that it is a LUN of; undefined for a disk that is served for the attachment alone. */
  readonly socket?: string;
}

export interface AttachOptions {
  /** Tells attachments apart; the initiator's name is derived from it. */
  readonly name: string;
  readonly kind: AttachmentKind;
  /** Whether a FUSE attachment gets a loop device; it needs root. */
  readonly loop: boolean;
  /** ublk: what is to run when this process dies and the device is left alone. */
  readonly keeper?: readonly string[];
  readonly log: Log;
}

export interface Attachment {
  readonly path: string;
  readonly device: string | undefined;
  /** Resolves when the host has let go of it, or when the connection broke. */
  readonly ended: Promise<void>;
  /** Gives the disk back; what the host still has of it fails from then on. */
  close(): Promise<void>;
}

/** The best that this kernel and this user have. */
export async function bestKind(): Promise<AttachmentKind> {
  if (await bestIsUblk()) return 'ublk';
  return canUseNbd() ? 'nbd' : 'fuse';
}

/** Opens the disk and hands it to the host. Throws LunportError; nothing is left then. */
export async function attachDisk(
  disk: string,
  options: AttachOptions,
  stateDirectory: string | undefined,
): Promise<Attachment> {
  // The whole SCSI core, which is of no use to whoever lists or detaches.
  const { LocalTarget } = await import('./local-target.ts');
  const target = LocalTarget.open([disk], { name: `attach ${options.name}`, stateDirectory });
  try {
    const { shard, lunMap } = target;
    const { nexus } = target.connect('host');
    const attached = await attach({ shard, nexus, lun: 0, lunMap: () => lunMap, disk }, options);
    const close = async () => {
      await attached.close();
      await target.close();
    };
    return { ...attached, close };
  } catch (error) {
    await target.close();
    throw error;
  }
}

/** Hands a logical unit to the host. Throws LunportError; nothing is left then. */
export async function attach(source: AttachSource, options: AttachOptions): Promise<Attachment> {
  const { name, kind } = options;
  try {
    const attached = await ATTACH[kind](source, options);
    const close = async () => {
      await attached.close();
      const record = attachments().find((other) => other.name === name);
      // What the host still holds is for `lunport detach`, when it lets go.
      if (record === undefined || !(await isOnHost(record))) removeRecord(name);
    };
    return { ...attached, close };
  } catch (error) {
    // A ublk device that waits for a server must be found by the next.
    if (kind !== 'ublk') removeRecord(name);
    throw error;
  }
}

/** A dead namesake is cleaned up after, or its device served again; a living one keeps its place. Throws LunportError. */
export async function makeRoom(name: string, disk: string): Promise<void> {
  if (waitingForServer(name, disk) !== undefined) return;
  const record = attachments().find((other) => other.name === name);
  if (record === undefined) return;
  if (!isServed(record)) return cleanUp(record);
  throw new LunportError({
    code: 'attached',
    object: name,
    message: `"${name}" is attached already, as ${record.device ?? record.path}`,
    hint: 'Detach it, or choose another --name.',
  });
}

/** Takes away what is left of an attachment whose server is dead. Throws LunportError while it is in use. */
export async function cleanUp(record: AttachmentRecord): Promise<void> {
  await releaseHost(record);
  forget(record);
}

/** When nothing of it is left on the host. */
export function forget({ name }: AttachmentRecord): void {
  rmSync(attachmentLog(name), { force: true });
  removeRecord(name);
}

/** Undoes what the host has of an attachment, whoever made it. Throws LunportError while it is in use. */
export async function releaseHost(record: AttachmentRecord): Promise<void> {
  const { kind, path, device } = record;
  if (kind === 'ublk') {
    // A living server takes it away itself. Looking at a device without one would wait for ever.
    if (isServed(record)) await checkUnused(path);
    else await giveUpUblk(path);
    return;
  }
  if (kind === 'iscsi') return (await import('./iscsi-attachment.ts')).releaseIscsi(record);
  if (kind === 'nbd') {
    if (device !== undefined) await removeNbdDevice(device);
    return;
  }
  if (device !== undefined) await removeLoopDevice(device);
  if (isMounted(path)) await unmountFuse(path);
}

async function isOnHost(record: AttachmentRecord): Promise<boolean> {
  const { kind, path, device } = record;
  if (kind === 'ublk') return false;
  if (kind === 'iscsi') return (await import('./iscsi-attachment.ts')).isIscsiOnHost(record);
  return isMounted(path) || (device !== undefined && isLoopDevice(device));
}

async function attachFuse(source: AttachSource, options: AttachOptions): Promise<Attachment> {
  const { nexus, lun, disk, socket, shard } = source;
  const { name, loop, log } = options;
  const initiator = await BlockInitiator.open(nexus, lun, shard.environment);
  const { readOnly, blockSize } = initiator.geometry;
  const path = join(makeAttachmentDirectory(name), 'disk');
  const record = { name, kind: 'fuse', disk, socket, path } as const;
  writeFileSync(path, '');
  const fd = await mountFuse(path, name, readOnly);
  let session!: FuseSession;
  const ended = new Promise<void>((resolve) => {
    session = new FuseSession(fd, initiator, {
      sessionEnded: (error) => {
        if (error !== undefined) log.error(`${path}: ${error.message}`);
        resolve();
      },
    });
  });
  try {
    // From here on `lunport detach` can clean up, whatever becomes of us.
    writeRecord(record);
    const device = loop ? await makeLoopDevice(path, { readOnly, blockSize }) : undefined;
    writeRecord({ ...record, device });
    if (device !== undefined) {
      initiator.onChange = () => {
        resizeLoopDevice(device).catch((error: Error) => log.warn(error.message));
      };
    }
    return { path, device, ended, close: () => session.close() };
  } catch (error) {
    await unmountFuse(path);
    await session.close();
    throw error;
  }
}

async function attachNbd(
  { shard, nexus, lun, disk, socket }: AttachSource,
  { name, log }: AttachOptions,
): Promise<Attachment> {
  const server = new NbdServer(shard.environment, log);
  const path = join(makeAttachmentDirectory(name), 'nbd.sock');
  try {
    await server.addExport({ name, description: disk, nexus, lun });
    const { readOnly, blockSize } = server.exports[0].device.geometry;
    server.listen({ path });
    const record = { name, kind: 'nbd', disk, socket, path } as const;
    writeRecord(record);
    const device = await makeNbdDevice(path, name, { readOnly, blockSize });
    writeRecord({ ...record, device });
    return { path, device, ended: new Promise(() => {}), close: () => server.close() };
  } catch (error) {
    await server.close();
    throw error;
  }
}

async function attachIscsi(source: AttachSource, options: AttachOptions): Promise<Attachment> {
  return (await import('./iscsi-attachment.ts')).attachIscsi(source, options);
}

const ATTACH = { fuse: attachFuse, nbd: attachNbd, ublk: attachUblk, iscsi: attachIscsi } as const;

/**
 * Asked of the kernel's list, not of the file: looking at the file would wait for its server, which may be dead, or
 * this very process.
 */
function isMounted(path: string): boolean {
  const escaped = path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[1] === escaped);
}
