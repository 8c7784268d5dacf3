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
  readonly name: string;
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
      // Listed until the end: who takes the disk away has to wait for it.
      closing ??= closeAll([() => attachment.close(), disconnect]).finally(() => {
        if (this.entries.get(name) === entry) this.entries.delete(name);
      });
      return closing;
    };
    const entry: Entry = { name, target, lun, attachment, kind, close };
    this.entries.set(name, entry);
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
    return this.entriesOf(target, lun).map(({ name }) => name);
  }

  private entriesOf(target: ServedTarget, lun: number): Entry[] {
    return [...this.entries.values()].filter((entry) => entry.target === target && entry.lun === lun);
  }

  /** A LUN goes away: whoever uses it on this host gets errors. */
  async remove(target: ServedTarget, lun: number): Promise<void> {
    for (const entry of this.entriesOf(target, lun)) await this.end(entry);
  }

  /** The same for all. What cannot be taken away, because it is in use, is for `lunport detach` afterwards. */
  async close(): Promise<void> {
    await closeAll([...this.entries.values()].map((entry) => () => this.end(entry)));
  }

  /** It may be ending by itself, or have ended. */
  private async end({ name, close }: Entry): Promise<void> {
    const record = recordOf(name);
    if (record !== undefined) await releaseHost(record).catch(() => {});
    await close();
  }
}

function recordOf(name: string): AttachmentRecord | undefined {
  return attachments().find((record) => record.name === name && isServed(record));
}
