/** The iSCSI portal of a server: every target under a name of its own, with the access that was asked for. */

import { Portal } from '../fabrics/iscsi/portal.ts';
import type { AccessControl } from '../fabrics/iscsi/target-node.ts';
import { systemError } from '../native/errno.ts';
import { LunportError } from './errors.ts';
import { type IscsiOptions, isLoopback } from './iscsi-options.ts';
import type { ServedTarget } from './served-target.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

const DEFAULT_NAME = 'iqn.2026-01.io.lunport:target';
/** Relative target port of the iSCSI port; the vhost-user port of the same target is 1. */
const RELATIVE_PORT = 2;
const PORTAL_GROUP = 1;

export class IscsiFabric {
  readonly host: string;
  readonly port: number;
  /** iSCSI names, in the order of the server's targets. */
  readonly names: readonly string[];
  private readonly portal: Portal;

  private constructor(portal: Portal, bound: { host: string; port: number }, names: readonly string[]) {
    this.portal = portal;
    this.host = bound.host;
    this.port = bound.port;
    this.names = names;
  }

  /** Throws LunportError when the address cannot be had, or when it would let strangers in unasked. */
  static async open(
    targets: readonly ServedTarget[],
    options: IscsiOptions,
    shard: Shard,
    log: Log,
  ): Promise<IscsiFabric> {
    const { host, port } = options;
    refuseOpenDoor(options);
    const portal = new Portal(shard.environment, log);
    const access = accessOf(options);
    const names = targets.map((_, i) => `${options.name ?? DEFAULT_NAME}${i === 0 ? '' : `-${i}`}`);
    for (const [i, target] of targets.entries()) {
      portal.addTarget({
        name: names[i],
        alias: '',
        portalGroupTag: PORTAL_GROUP,
        targetPort: {
          name: `${names[i]},t,0x${PORTAL_GROUP.toString(16).padStart(4, '0')}`,
          relativeId: RELATIVE_PORT,
          protocol: 5,
          portalGroupTag: PORTAL_GROUP,
        },
        access,
        lunMap: () => target.lunMap,
      });
    }
    try {
      return new IscsiFabric(portal, await portal.listen({ host, port }), names);
    } catch (error) {
      const { errno = 0 } = error as NodeJS.ErrnoException;
      throw systemError(errno, 'listen for iSCSI on', `${host}:${port}`, error);
    }
  }

  close(): Promise<void> {
    return this.portal.close();
  }
}

/** Demo mode, everybody welcome, is for this machine only unless it is asked for. */
function refuseOpenDoor({ host, credentials, initiators, demo }: IscsiOptions): void {
  if (isLoopback(host) || credentials !== undefined || initiators.length > 0 || demo) return;
  throw new LunportError({
    code: 'open-door',
    object: host,
    message: `iSCSI on ${host} would let everybody on that network write to the disks`,
    hint: 'name the initiators with --initiator, set --chap, or say --demo-mode if that is what you want',
  });
}

function accessOf({ credentials, initiators }: IscsiOptions): AccessControl {
  const allowed = new Set(initiators);
  return {
    admits: (name) => allowed.size === 0 || allowed.has(name),
    credentials: () => credentials,
  };
}
