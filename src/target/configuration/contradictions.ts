/** What no part of a configuration shows alone: names that lead nowhere, or are there twice. */
import type { Configuration } from './schema.ts';

interface Contradiction {
  readonly path: (string | number)[];
  readonly message: string;
}

/** With the place of each. */
export function* contradictions({ disks, targets, iscsi }: Configuration): Iterable<Contradiction> {
  for (const [name, { kind, size: bytes = 0, blockSize = 512 }] of Object.entries(disks)) {
    if (kind === 'file' || bytes % blockSize === 0) continue;
    yield {
      path: ['disks', name, 'size'],
      message: `${bytes} bytes are not a multiple of the block size ${blockSize}`,
    };
  }
  const sockets = new Set<string>();
  for (const [i, target] of targets.entries()) {
    const luns = new Set<number>();
    const served = new Set<string>();
    for (const [j, { lun: at, disk: name }] of target.luns.entries()) {
      const path = ['targets', i, 'luns', j];
      if (!Object.hasOwn(disks, name)) {
        const known = Object.keys(disks).join(', ') || 'none';
        yield { path: [...path, 'disk'], message: `no disk is called "${name}"; there are: ${known}` };
      }
      if (luns.has(at)) yield { path: [...path, 'lun'], message: `LUN ${at} is there already` };
      // Its reservations and unit attentions would be ambiguous.
      if (served.has(name))
        yield { path: [...path, 'disk'], message: `"${name}" is at another LUN of this target already` };
      luns.add(at);
      served.add(name);
    }
    if (target.device === 'blk' && (target.luns.length !== 1 || target.luns[0].lun !== 0)) {
      yield { path: ['targets', i, 'luns'], message: 'a virtio block device is one disk, at LUN 0' };
    }
    for (const [j, { path, luns: seen }] of (target.sockets ?? []).entries()) {
      const place = ['targets', i, 'sockets', j];
      if (target.device === 'blk' && seen !== undefined && !seen.some((mapped) => mapped.lun === 0)) {
        yield { path: [...place, 'luns'], message: 'a virtio block device is the disk at LUN 0' };
      }
      if (path !== undefined && sockets.has(path))
        yield { path: [...place, 'path'], message: `${path} is named twice` };
      if (path !== undefined) sockets.add(path);
    }
    // Else its ACLs would seem to hold.
    if (target.iscsi && iscsi === undefined) {
      yield {
        path: ['targets', i, 'iscsi'],
        message: 'there is no portal: name its address in iscsi.addresses',
      };
      continue;
    }
    const portals = iscsi?.addresses ?? [];
    for (const [j, { host, port }] of (target.iscsi?.addresses ?? []).entries()) {
      if (portals.some((portal) => portal.host === host && portal.port === port)) continue;
      yield {
        path: ['targets', i, 'iscsi', 'addresses', j],
        message: `${host} port ${port} is not among iscsi.addresses`,
      };
    }
  }
}
