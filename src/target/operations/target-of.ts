/** Which target and which disk the parameters of an operation name. */
import { LunportError } from '../errors.ts';
import type { ServedDisk } from '../served-disk.ts';
import type { ServedTarget } from '../served-target.ts';
import type { Server } from '../server.ts';
import { ErrorCode } from './operation-error.ts';

/** What a target is called by, whether it is here or only described. */
interface NamedTarget {
  readonly name: string;
  readonly sockets: readonly { readonly path: string }[];
}

/** Throws LunportError. */
export function targetOf({ targets }: Server, name: string | undefined): ServedTarget {
  return findTarget(targets, name);
}

/** `name`: its WWN or the path of one of its sockets; undefined for the only one. Throws LunportError. */
export function findTarget<T extends NamedTarget>(targets: readonly T[], name: unknown): T {
  if (name === undefined && targets.length === 1) return targets[0];
  const found = targets.find(
    (target) => target.name === name || target.sockets.some(({ path }) => path === name),
  );
  if (found !== undefined) return found;
  throw new LunportError({
    code: ErrorCode.INVALID_PARAMETERS,
    object: 'target',
    message:
      name === undefined
        ? `One of ${targets.length} targets is meant, and none was named`
        : `No target is called ${JSON.stringify(name)}`,
    hint: 'Name it by its WWN or by the path of one of its sockets.',
  });
}

/** Throws LunportError. */
export function diskOf(target: ServedTarget, lun: number): ServedDisk {
  const disk = target.disks.get(lun);
  if (disk !== undefined) return disk;
  throw new LunportError({
    code: 'no-such-lun',
    object: `LUN ${lun}`,
    message: `${target.sockets[0].path} has no LUN ${lun}`,
    hint: 'lunport list shows what there is.',
  });
}
