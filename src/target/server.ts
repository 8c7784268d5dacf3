/**
 * Everything that one process serves: a shard, targets with their disks, and the fabrics that lead to them. Opens
 * all of it or nothing; closes in the order that loses nothing (see ARCHITECTURE.md).
 */

import { existsSync, realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isImageInUse } from '../native/file-lock.ts';
import { Attached } from './attached.ts';
import { closeAll } from './close-all.ts';
import type { DiskSpec } from './disk-spec.ts';
import { LunportError } from './errors.ts';
import type { IscsiTargetOptions } from './iscsi-access.ts';
import { IscsiFabric } from './iscsi-fabric.ts';
import type { IscsiOptions } from './iscsi-options.ts';
import { NbdFabric } from './nbd-fabric.ts';
import type { NbdOptions } from './nbd-options.ts';
import { registerPorts } from './port-registry.ts';
import { awaitDisk, closeBackstores, openDisk, type ServedDisk } from './served-disk.ts';
import { type DeviceKind, ServedTarget, type SocketSpec, targetNames } from './served-target.ts';
import { type IoMode, Shard } from './shard.ts';

/** Milliseconds between looks at a disk that another process uses: what a guest may notice of it. */
const LOOK_EVERY = 20;

export interface TargetSpec {
  /** At least one, and one per virtual machine that shares the disks. */
  readonly sockets: readonly SocketSpec[];
  readonly luns: readonly LunSpec[];
  /** WWN of its ports, `naa.…`; default: from the first socket's path. */
  readonly wwn?: string;
  /** What virtual machines see; default: a SCSI host. A block device is LUN 0 and nothing else. */
  readonly device?: DeviceKind;
  /** How it is to be had where the server has iSCSI portals; default: as `IscsiOptions.target` says; null: not at all. */
  readonly iscsi?: IscsiTargetOptions | null;
}

export interface LunSpec {
  readonly lun: number;
  readonly disk: DiskSpec;
  /** What the configuration calls the disk: under one name it is one logical unit, in as many targets as say so. */
  readonly name?: string;
}

/** Where the layers below report what an operator may want to know. */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export interface ServerOptions {
  readonly io: IoMode;
  /** How long to spin for a guest's next request; default 0, not at all. */
  readonly pollMicroseconds?: number;
  readonly stateDirectory: string | undefined;
  readonly iscsi: IscsiOptions | undefined;
  readonly nbd?: NbdOptions;
  /** Whether a disk that cannot be had costs its LUNs only; default: nothing is served then. */
  readonly partial?: boolean;
  readonly log: Log;
}

export class Server {
  readonly targets: ServedTarget[] = [];
  readonly shard: Shard;
  /** LUNs that this host uses as well. */
  readonly attached = new Attached();
  iscsi: IscsiFabric | undefined = undefined;
  nbd: NbdFabric | undefined = undefined;
  readonly options: ServerOptions;
  private closing = false;
  /** For disks that other processes use. */
  private readonly waiting: Promise<void>[] = [];
  /** Disks that several targets may have, by name. */
  private readonly shared = new Map<string, ServedDisk>();

  private constructor(shard: Shard, options: ServerOptions) {
    this.shard = shard;
    this.options = options;
  }

  /** Opens and listens. Throws LunportError; nothing stays open then. */
  static async open(specs: readonly TargetSpec[], options: ServerOptions): Promise<Server> {
    const defect = (error: unknown) => options.log.error(describeDefect(error));
    const server = new Server(new Shard(options.io, defect, options.pollMicroseconds), options);
    try {
      const named = specs.map((spec) => ({ names: targetNames(spec), luns: spec.luns }));
      const ports = await registerPorts(named, options.stateDirectory, (message) =>
        options.log.warn(message),
      );
      for (const [i, spec] of specs.entries()) await server.addTarget(spec, ports[i]);
      if (options.iscsi !== undefined) {
        const own = new Map(server.targets.map((target, i) => [target, specs[i].iscsi]));
        server.iscsi = await IscsiFabric.open(own, options.iscsi, server.shard, options.log);
      }
      if (options.nbd !== undefined) {
        server.nbd = await NbdFabric.open(server.targets, options.nbd, server.shard, options.log);
      }
      return server;
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.closing = true;
    await closeAll([
      async () => void (await Promise.all(this.waiting)),
      () => this.attached.close(),
      () => this.iscsi?.close(),
      () => this.nbd?.close(),
      ...this.targets.map((target) => () => target.disconnectAll()),
      () => closeAll(this.disks().map((disk) => () => closeBackstores(disk))),
      () => this.shard.close(),
    ]);
  }

  /** Adds a disk while initiators are there; they hear of it. Throws LunportError, and then nothing has changed. */
  async addDisk(target: ServedTarget, lun: number, spec: DiskSpec, name?: string): Promise<ServedDisk> {
    const disk = this.sharedDisk({ lun, disk: spec, name }, target);
    this.iscsi?.add(target, disk);
    target.add(lun, disk);
    try {
      await this.nbd?.add(target, lun, disk);
      // A virtio block device is there when its disk is.
      if (target.device === 'blk') await target.open(this.shard, this.options.log);
      return disk;
    } catch (error) {
      await this.removeDisk(target, lun);
      throw error;
    }
  }

  /** Takes a disk away from its initiators, whose tasks are aborted; makes it durable and gives it back. */
  async removeDisk(target: ServedTarget, lun: number): Promise<void> {
    const disk = target.disks.get(lun)!;
    await this.attached.remove(target, lun);
    await this.nbd?.remove(target, lun);
    await target.remove(lun);
    this.iscsi?.remove(target, disk);
    if (this.disks().includes(disk)) return;
    for (const [name, shared] of this.shared) if (shared === disk) this.shared.delete(name);
    await closeBackstores(disk);
  }

  /** Every disk once, whatever leads to it. */
  private disks(): ServedDisk[] {
    return [...new Set(this.targets.flatMap(({ disks }) => [...disks.values()]))];
  }

  private async addTarget(spec: TargetSpec, firstPort: number): Promise<void> {
    const { environment } = this.shard;
    const target = new ServedTarget({ ...spec, firstPort, environment });
    this.targets.push(target);
    const used: LunSpec[] = [];
    for (const each of spec.luns) {
      try {
        await awaitDisk(each.disk);
        if (this.isWaitedFor(each)) {
          used.push(each);
          // Its LUN is kept for it.
          target.absent.set(each.lun, {
            spec: each.disk,
            reason: `${each.disk.name} is in use, and waited for`,
          });
        } else target.add(each.lun, this.sharedDisk(each, target));
      } catch (error) {
        if (!(error instanceof LunportError) || this.options.partial !== true) throw error;
        this.options.log.error(`LUN ${each.lun} of ${target.sockets[0].path} is left out: ${error.message}`);
        target.absent.set(each.lun, { spec: each.disk, reason: error.message });
      }
    }
    let ready: Promise<void> | undefined;
    if (used.length > 0) {
      ready = new Promise((resolve) => this.waiting.push(this.openWhenFree(target, used, resolve)));
    }
    // A virtio block device without its disk is no device: its driver asks for the size before anything else.
    if (target.device === 'blk' && target.disks.size === 0) return;
    await target.open(this.shard, this.options.log, ready);
  }

  /** Calls `ready` when all of them are served or removed; resolves then, or when the server closes. */
  private async openWhenFree(
    target: ServedTarget,
    luns: readonly LunSpec[],
    ready: () => void,
  ): Promise<void> {
    const { log } = this.options;
    for (const { lun, name, disk: spec } of luns) {
      const place = target.absent.get(lun);
      // Removed while another was waited for.
      if (place === undefined) continue;
      log.info(`LUN ${lun} waits until ${spec.name} is free`);
      let complaint = '';
      while (!this.closing && target.absent.get(lun) === place) {
        await sleep(LOOK_EVERY);
        try {
          await awaitDisk(spec);
          if (this.closing || target.absent.get(lun) !== place) break;
          if (this.isWaitedFor({ lun, name, disk: spec })) continue;
          target.absent.delete(lun);
          await this.addDisk(target, lun, spec, name);
          log.info(`LUN ${lun}: ${spec.name} is free, and served`);
        } catch (error) {
          target.absent.set(lun, place);
          const { message } = error as Error;
          if (message !== complaint) log.warn(`LUN ${lun} still waits: ${message}`);
          complaint = message;
        }
      }
    }
    if (!this.closing) ready();
  }

  /** `share` is meant for other processes: two disks here on one image would each let in whom the other fences. */
  private refuseSecond({ name }: DiskSpec): void {
    if (!existsSync(name)) return;
    const path = realpathSync(name);
    for (const { disks, sockets } of this.targets) {
      for (const { backstore, spec } of disks.values()) {
        if (spec.share && backstore.describe().path === path) throw servedTwice(name, sockets[0].path);
      }
    }
  }

  private isWaitedFor({ name, disk }: LunSpec): boolean {
    return !(name !== undefined && this.shared.has(name)) && isWaitedFor(disk);
  }

  private sharedDisk({ lun, disk, name }: LunSpec, target: ServedTarget): ServedDisk {
    const known = name === undefined ? undefined : this.shared.get(name);
    if (known !== undefined) return known;
    const opened = this.openDisk(disk, target, lun);
    if (name !== undefined) this.shared.set(name, opened);
    return opened;
  }

  private openDisk(spec: DiskSpec, target: ServedTarget, lun: number): ServedDisk {
    const { stateDirectory } = this.options;
    if (spec.kind === 'file' && spec.share) this.refuseSecond(spec);
    return openDisk(spec, {
      shard: this.shard,
      place: `${target.sockets[0].path} LUN ${lun}`,
      stateDirectory,
    });
  }
}

export function servedTwice(name: string, socket: string): LunportError {
  return new LunportError({
    code: 'served-twice',
    object: name,
    message: `${name} is a disk of ${socket} already: as a second disk it would know nothing of its reservations`,
    hint: 'Give one target several sockets (--socket or --connect more than once), or name one disk of a --config in both.',
  });
}

/** Whether it is one to be waited for, and somebody uses it now. */
function isWaitedFor({ kind, name, readOnly, share, wait }: DiskSpec): boolean {
  return (
    wait === true && kind === 'file' && existsSync(name) && isImageInUse(name, { write: !readOnly, share })
  );
}

function describeDefect(error: unknown): string {
  return `a defect of lunport's own: ${error instanceof Error ? error.stack : String(error)}`;
}
