/** What a server serves and where, as plain data: what `lunport serve` announces, and what a shard tells of itself. */

import type { BackstoreDescription } from '../backstores/open-backstore.ts';
import { naaText } from './disk-identity.ts';
import type { IscsiFabric } from './iscsi-fabric.ts';
import { type DeviceKind, initiatorName, type ServedTarget, type SocketSpec } from './served-target.ts';
import type { Server } from './server.ts';

export interface ServerDescription {
  readonly targets: readonly TargetDescription[];
  /** One URL per portal and LUN that somebody sees, as QEMU and libiscsi take them. */
  readonly iscsi: readonly string[];
  /** One URI per disk. */
  readonly nbd: readonly string[];
}

export interface TargetDescription {
  readonly sockets: readonly SocketDescription[];
  /** What a virtual machine finds there. */
  readonly device: DeviceKind;
  /** WWN of the vhost-user port. */
  readonly name: string;
  /** The shard that serves it, counted from 0; undefined where there are none. */
  readonly shard?: number;
  readonly luns: readonly LunDescription[];
}

/** Where one virtual machine is met, and as which initiator. */
export interface SocketDescription extends SocketSpec {
  readonly initiator: string;
}

export interface LunDescription extends BackstoreDescription {
  readonly lun: number;
  /** The disk as the user named it. */
  readonly name: string;
  /** Bytes per logical block. */
  readonly blockSize: number;
  readonly serial: string;
  /** `naa.…` */
  readonly naa: string;
}

export function describeServer({ targets, iscsi, nbd }: Server): ServerDescription {
  return {
    targets: targets.map(describeTarget),
    iscsi: iscsi === undefined ? [] : iscsiUrls(targets, iscsi),
    nbd: nbd?.uris ?? [],
  };
}

function describeTarget(target: ServedTarget): TargetDescription {
  return {
    sockets: target.sockets.map((socket) => ({
      path: socket.path,
      role: socket.role,
      initiator: initiatorName(socket),
    })),
    device: target.device,
    name: target.name,
    luns: [...target.disks].map(([lun, disk]) => ({
      lun,
      name: disk.backstore.name,
      ...disk.backstore.describe(),
      blockSize: disk.unit.blockSize,
      serial: disk.unit.identity.serial,
      naa: naaText(disk.unit.identity),
    })),
  };
}

function iscsiUrls(targets: readonly ServedTarget[], iscsi: IscsiFabric): string[] {
  return iscsi.addresses.flatMap(({ host, port }, portal) => {
    const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const there = targets.filter((target) => iscsi.isAt(target, portal));
    return there.flatMap((target) =>
      iscsi.lunsOf(target).map((lun) => `iscsi://${place}/${iscsi.nameOf(target)}/${lun}`),
    );
  });
}
