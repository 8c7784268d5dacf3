/**
 * LUNs of a running server that this host uses as well: the same logical units that virtual machines and iSCSI
 * initiators see, each over a nexus of its own, so reservations decide who writes.
 */
import type { LunMap } from '../scsi/lun-map.ts';
import {
  type Attachment,
  type AttachOptions,
  attach,
  bestKind,
  makeRoom,
  releaseHost,
} from './attachment.ts';
import { type AttachmentKind, type AttachmentRecord, attachments, isServed } from './attachment-record.ts';
import { closeAll } from './close-all.ts';
import { LunportError } from './errors.ts';
import { giveUpLater } from './keeper.ts';
import type { ServedTarget } from './served-target.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';
import { waitingForServer } from './ublk-attachment.ts';

export interface AttachLunOptions {
  /** Default: the best that there is. */
  readonly kind: AttachmentKind | undefined;
  readonly name: string;
  readonly loop: boolean;
  readonly log: Log;
}

interface Entry {
  readonly target: ServedTarget;
  readonly lun: number;
  readonly attachment: Attachment;
  readonly kind: AttachmentKind;
  readonly close: () => Promise<void>;
}

export class Attached {
  private readonly entries = new Map<string, Entry>();

  /** Throws LunportError; nothing is left then. */
  async attach(
    target: ServedTarget,
    lun: number,
    shard: Shard,
    options: AttachLunOptions,
  ): Promise<AttachmentRecord> {
    const { name, log } = options;
    const [{ path: socket }] = target.sockets;
    const disk = `${socket}:${lun}`;
    await makeRoom(name, disk);
    const kind = waitingForServer(name, disk)?.kind ?? options.kind ?? (await bestKind());
    const loop = kind === 'fuse' && options.loop && process.getuid!() === 0;
    const attachOptions: AttachOptions = { name, kind, loop, keeper: giveUpLater(name), log };
    // `lunport sg --initiator NAME` is the same initiator: so the host can hold reservations of its own.
    const { nexus } = target.initiator(name, shard.environment);
    let map: LunMap | undefined;
    const lunMap = () => {
      map ??= target.mask({ luns: [{ lun: 0, targetLun: lun, writeProtected: false }] });
      return map;
    };
    const disconnect = async () => {
      if (map !== undefined) target.unmask(map);
      await target.disconnect(name);
    };
    let attachment: Attachment;
    try {
      attachment = await attach({ shard, nexus, lun, lunMap, disk, socket }, attachOptions);
    } catch (error) {
      await disconnect();
      throw error;
    }
    let closing: Promise<void> | undefined;
    const close = () => {
      closing ??= closeAll([
        async () => {
          this.entries.delete(name);
        },
        () => attachment.close(),
        disconnect,
      ]);
      return closing;
    };
    this.entries.set(name, { target, lun, attachment, kind, close });
    const lost = (error: Error) => log.error(`"${name}": ${error.message}`);
    // Unmounted or stopped by somebody else.
    void attachment.ended.then(close).catch(lost);
    return recordOf(name)!;
  }

  /** Throws LunportError while the host uses it, or when it is not one of ours. */
  async detach(name: string): Promise<void> {
    const entry = this.entries.get(name);
    const record = recordOf(name);
    if (entry === undefined) {
      throw new LunportError({
        code: 'not-attached',
        object: name,
        message: `"${name}" is not attached here`,
      });
    }
    if (record !== undefined) await releaseHost(record);
    await entry.close();
  }

  namesOf(target: ServedTarget, lun: number): string[] {
    return [...this.entries]
      .filter(([, entry]) => entry.target === target && entry.lun === lun)
      .map(([name]) => name);
  }

  /** A LUN goes away: whoever uses it on this host gets errors. */
  async remove(target: ServedTarget, lun: number): Promise<void> {
    for (const name of this.namesOf(target, lun)) await this.end(name);
  }

  /** The same for all. What cannot be taken away, because it is in use, is for `lunport detach` afterwards. */
  async close(): Promise<void> {
    await closeAll([...this.entries.keys()].map((name) => () => this.end(name)));
  }

  private async end(name: string): Promise<void> {
    const { close } = this.entries.get(name)!;
    await releaseHost(recordOf(name)!).catch(() => {});
    await close();
  }
}

function recordOf(name: string): AttachmentRecord | undefined {
  return attachments().find((record) => record.name === name && isServed(record));
}
