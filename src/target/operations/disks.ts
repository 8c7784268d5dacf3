/** `add`, `remove`, `resize`: disks that come, go and grow while initiators use the target. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { MAX_LUN } from '../../scsi/lun-map.ts';
import { type DiskSpec, parseDisk, UsageError } from '../disk-spec.ts';
import { LunportError } from '../errors.ts';
import { awaitDisk, resizeDisk } from '../served-disk.ts';
import type { ServedTarget } from '../served-target.ts';
import type { Server } from '../server.ts';
import { describeDisk } from './list.ts';
import { operation, Scope } from './operation.ts';
import { ErrorCode } from './operation-error.ts';
import { diskOf, targetOf } from './target-of.ts';

const target = z.string().optional();
const lun = z.int().min(0).max(MAX_LUN);

export const add = operation({
  description:
    'Adds a disk, written as on the command line, at a LUN or at the lowest that is free. Guests are told. `directory` is what a relative path is relative to.',
  schema: z.strictObject({ target, disk: z.string(), lun: lun.optional(), directory: z.string().optional() }),
  scope: Scope.TARGET,
  changes: true,
  async run(server: Server, params) {
    const served = targetOf(server, params.target);
    const spec = specOf(params);
    // Before anything is looked at that may be different when it has answered.
    await awaitDisk(spec);
    const place = params.lun ?? freeLun(served);
    refuseBlockDevice(served, place);
    if (served.disks.has(place) || served.absent.has(place)) {
      throw new LunportError({
        code: 'lun-taken',
        object: `LUN ${place}`,
        message: `${served.sockets[0].path} has a LUN ${place} already`,
        hint: 'Leave out the LUN to get the lowest that is free.',
      });
    }
    return describeDisk(place, await server.addDisk(served, place, spec));
  },
});

export const remove = operation({
  description:
    'Takes a disk from its initiators, guests are told, and makes it durable. A disk with reservations or registrations needs `force`.',
  schema: z.strictObject({ target, lun, force: z.boolean().optional() }),
  scope: Scope.TARGET,
  changes: true,
  async run(server: Server, params) {
    const served = targetOf(server, params.target);
    refuseBlockDevice(served, params.lun);
    if (served.absent.delete(params.lun)) return { lun: params.lun };
    const { unit } = diskOf(served, params.lun);
    const { held, persistent } = unit.reservations;
    const [name] = server.attached.namesOf(served, params.lun);
    if (name !== undefined && params.force !== true) {
      throw new LunportError({
        code: 'attached',
        object: `LUN ${params.lun}`,
        message: `LUN ${params.lun} of ${served.sockets[0].path} is attached to this host, as "${name}"`,
        hint: `Say "lunport detach ${name}" first, or --force.`,
      });
    }
    if ((held || persistent.registrations.size > 0) && params.force !== true) {
      throw new LunportError({
        code: 'reserved',
        object: `LUN ${params.lun}`,
        message: `LUN ${params.lun} of ${served.sockets[0].path} is reserved, or initiators are registered on it`,
        hint: 'Clear that first (lunport sg persist), or say --force.',
      });
    }
    await server.removeDisk(served, params.lun);
    return { lun: params.lun };
  },
});

export const resize = operation({
  description:
    'Makes a file `size` bytes long, or without it takes over the size that the backing has now. Guests are told.',
  schema: z.strictObject({ target, lun, size: z.int().positive().optional() }),
  scope: Scope.TARGET,
  changes: true,
  async run(server: Server, params) {
    const disk = diskOf(targetOf(server, params.target), params.lun);
    const changed = await resizeDisk(disk, params.size);
    return { ...describeDisk(params.lun, disk), changed };
  },
});

/** What `add` names a disk by. */
export interface AddedDisk {
  readonly disk: string;
  readonly directory?: string;
}

/** A virtio block device is one disk, which stays when it has come. */
function refuseBlockDevice({ device, disks, sockets }: ServedTarget, lun: number): void {
  if (device !== 'blk' || (disks.size === 0 && lun === 0)) return;
  throw new LunportError({
    code: 'one-disk-only',
    object: sockets[0].path,
    message: `${sockets[0].path} is a virtio block device, which has one disk that stays`,
    hint: 'Serve it without --blk to add and remove disks.',
  });
}

/** The place of a disk that could not be had is kept for it. */
function freeLun({ disks, absent }: ServedTarget): number {
  for (let candidate = 0; ; candidate++)
    if (!disks.has(candidate) && !absent.has(candidate)) return candidate;
}

/** Throws LunportError. */
export function specOf({ disk, directory = '/' }: AddedDisk): DiskSpec {
  try {
    const spec = parseDisk(disk);
    return spec.kind === 'file' ? { ...spec, name: resolve(directory, spec.name) } : spec;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new LunportError({
      code: ErrorCode.INVALID_PARAMETERS,
      object: 'disk',
      message: error.message,
      cause: error,
    });
  }
}
