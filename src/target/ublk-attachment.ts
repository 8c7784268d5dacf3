/**
 * A disk as /dev/ublkbN. When its server dies the kernel keeps all requests for the next one; so that they never wait
 * for ever, a keeper outlives the server and restarts it, or gives the device up.
 */
import { existsSync } from 'node:fs';
import { BlockInitiator } from '../fabrics/loopback/block-initiator.ts';
import { canUseUblk } from '../fabrics/ublk/ublk-control.ts';
import { deleteUblkDevice, hasUblk, UblkDevice } from '../fabrics/ublk/ublk-device.ts';
import { RegionMemory } from '../native/memory.ts';
import type { Attachment, AttachOptions, AttachSource } from './attachment.ts';
import {
  type AttachmentRecord,
  attachments,
  isServed,
  makeAttachmentDirectory,
  removeRecord,
  writeRecord,
} from './attachment-record.ts';
import { LunportError } from './errors.ts';
import { Keeper } from './keeper.ts';

/** Milliseconds, and how many deaths in it are one too many: something kills every server. */
const CRASH_WINDOW = 60_000;
const MAX_CRASHES = 5;

/** Whether this kernel and this user can have such a device. */
export async function bestIsUblk(): Promise<boolean> {
  return canUseUblk() && (await hasUblk(new RegionMemory()));
}

/** The attachment of a dead server whose device waits for another. */
export function waitingForServer(name: string, disk: string): AttachmentRecord | undefined {
  const record = attachments().find((other) => other.name === name);
  const waits =
    record?.kind === 'ublk' && record.disk === disk && !isServed(record) && existsSync(record.path);
  return waits ? record : undefined;
}

/** Gives up a device whose server is dead. Throws LunportError. */
export function giveUpUblk(device: string): Promise<void> {
  return deleteUblkDevice(device, new RegionMemory());
}

/** Throws LunportError; a device that waits for a server then still does. */
export async function attachUblk(
  { shard, nexus, lun, disk, socket }: AttachSource,
  { name, keeper, log }: AttachOptions,
): Promise<Attachment> {
  const { memory, environment } = shard;
  const waiting = waitingForServer(name, disk);
  makeAttachmentDirectory(name);
  const recoveries = waiting === undefined ? undefined : crashes(waiting);
  const announce = (path: string) =>
    writeRecord({ name, kind: 'ublk', disk, socket, path, device: path, recoveries });
  // The keeper first: from here on a death of ours is seen.
  const watch = keeper === undefined ? undefined : new Keeper(keeper);
  try {
    if (waiting !== undefined) announce(waiting.path);
    const initiator = await BlockInitiator.open(nexus, lun, environment);
    const device =
      waiting === undefined
        ? await UblkDevice.create(initiator, memory, announce)
        : await UblkDevice.recover(waiting.path, initiator, memory);
    const again = 'it keeps its size until it is detached and attached again';
    initiator.onChange = () => {
      device.resize().catch((error: Error) => log.warn(`${error.message}; ${again}`));
    };
    if (waiting !== undefined) {
      log.info(`${device.path} has a new server`);
      // The disk may have grown while nobody served it.
      initiator.onChange();
    }
    const close = async () => {
      await device.close();
      watch?.dismiss();
    };
    return { path: device.path, device: device.path, ended: device.ended, close };
  } catch (error) {
    watch?.dismiss();
    if (waiting === undefined) removeRecord(name);
    throw error;
  }
}

function crashes({ device, recoveries = [] }: AttachmentRecord): number[] {
  const now = Date.now();
  const recent = [...recoveries.filter((time) => time > now - CRASH_WINDOW), now];
  if (recent.length <= MAX_CRASHES) return recent;
  throw new LunportError({
    code: 'crash-loop',
    object: device!,
    message: `The server of ${device} has died ${recent.length} times within a minute`,
  });
}
