/**
 * A disk as /dev/sdX: the kernel's own iSCSI initiator on a portal of ours that listens on this machine only. A real
 * SCSI disk, with sg and reservations under the host's initiator name.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { IscsiNode, LOGOUT_GRACE } from '../fabrics/iscsi/iscsi-node.ts';
import { BlockInitiator } from '../fabrics/loopback/block-initiator.ts';
import type { Attachment, AttachOptions, AttachSource } from './attachment.ts';
import { type AttachmentRecord, makeAttachmentDirectory, writeRecord } from './attachment-record.ts';
import { checkUnused } from './host-device.ts';
import { hasIscsiSession, type IscsiTargetAddress, loginIscsi, logoutIscsi } from './open-iscsi.ts';

const LOOPBACK = '127.0.0.1';
/** RELATIVE TARGET PORT IDENTIFIER, beside those of the other fabrics. */
const RELATIVE_PORT = 0x300;
const PORTAL_GROUP = 1;
/** PROTOCOL IDENTIFIER (SPC-4 table 440). */
const ISCSI = 5;
const USER = 'host';
/** Bytes, which are twice as many letters: CHAP wants at least 12 (RFC 7143 9.2.1). */
const SECRET_LENGTH = 16;

/** Throws LunportError; nothing is left then. */
export async function attachIscsi(
  { shard, nexus, lun, disk, socket, lunMap }: AttachSource,
  { name, log }: AttachOptions,
): Promise<Attachment> {
  const { environment, engine } = shard;
  const target = `iqn.2026-01.io.lunport:attach-${name.toLowerCase().replaceAll('_', '-')}`;
  // Everybody on this machine can connect to the portal; only whoever was told the secret gets in.
  const secret = { user: USER, secret: randomBytes(SECRET_LENGTH).toString('hex') };
  const map = lunMap();
  const node = new IscsiNode({ environment, log, engine });
  try {
    const { port } = node.openPortal({ host: LOOPBACK, port: 0 }, [
      {
        name: target,
        alias: '',
        portalGroupTag: PORTAL_GROUP,
        targetPort: {
          name: `${target},t,0x0001`,
          relativeId: RELATIVE_PORT,
          protocol: ISCSI,
          portalGroupTag: PORTAL_GROUP,
        },
        access: { admits: () => true, credentials: () => secret },
        mayReset: () => false,
        lunMap: () => map,
      },
    ]);
    const portal = `${LOOPBACK}:${port}`;
    const path = `iscsi://${portal}/${target}/0`;
    makeAttachmentDirectory(name);
    const record = { name, kind: 'iscsi', disk, socket, path } as const;
    writeRecord(record);
    const device = await loginIscsi({ target, portal }, secret);
    writeRecord({ ...record, device });
    // The kernel logs that a disk has grown, and looks only when it is told to.
    const watch = await BlockInitiator.open(nexus, lun, environment);
    const rescan = device.replace('/dev/', '/sys/block/').concat('/device/rescan');
    watch.onChange = () => {
      writeFile(rescan, '1').catch((error: Error) => log.warn(error.message));
    };
    return { path, device, ended: new Promise(() => {}), close: () => node.close(LOGOUT_GRACE) };
  } catch (error) {
    await node.close();
    throw error;
  }
}

/** Logs the kernel out. Throws LunportError while the disk is in use. */
export async function releaseIscsi({ path, device }: AttachmentRecord): Promise<void> {
  const address = addressOf(path);
  if (device !== undefined && hasIscsiSession(address)) await checkUnused(device);
  await logoutIscsi(address);
}

export function isIscsiOnHost({ path }: AttachmentRecord): boolean {
  return hasIscsiSession(addressOf(path));
}

function addressOf(path: string): IscsiTargetAddress {
  const [, portal, target] = /^iscsi:\/\/([^/]*)\/([^/]*)\//.exec(path)!;
  return { portal, target };
}
