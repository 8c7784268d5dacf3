/** `attach` and `detach`: a LUN that this host uses as a file or block device, beside its other initiators. */
import { z } from 'zod';
import { MAX_LUN } from '../../scsi/lun-map.ts';
import { ATTACHMENT_KINDS, ATTACHMENT_NAME, defaultAttachmentName } from '../attachment-record.ts';
import type { Server } from '../server.ts';
import { operation, Scope } from './operation.ts';
import { diskOf, targetOf } from './target-of.ts';

const target = z.string().optional();

export const attach = operation({
  description:
    'Hands a LUN to the host that lunport runs on, as a file or block device; `loop`: with fuse, a loop device on the file too.',
  schema: z.strictObject({
    target,
    lun: z.int().min(0).max(MAX_LUN),
    as: z.enum(ATTACHMENT_KINDS).optional(),
    name: z.string().regex(ATTACHMENT_NAME).optional(),
    loop: z.boolean().optional(),
  }),
  scope: Scope.TARGET,
  changes: true,
  async run(server: Server, { target: named, lun, as, name, loop = true }) {
    const served = targetOf(server, named);
    const { spec } = diskOf(served, lun);
    const record = await server.attached.attach(served, lun, server.shard, {
      kind: as,
      name: name ?? defaultAttachmentName(spec),
      loop,
      log: server.options.log,
    });
    const { name: given, kind, path, device = null, pid } = record;
    return { name: given, kind, path, device, pid };
  },
});

export const detach = operation({
  description: 'Takes a LUN away from the host, by the name of its attachment. It must not be in use.',
  schema: z.strictObject({ target, name: z.string() }),
  scope: Scope.TARGET,
  changes: true,
  async run(server: Server, { target: named, name }) {
    targetOf(server, named);
    await server.attached.detach(name);
    return { name };
  },
});
