/** The iSCSI side of a server: every target under a name of its own, at every portal, with the access asked for. */
import type { ChapCredentials } from '../fabrics/iscsi/chap.ts';
import { IscsiNode, LOGOUT_GRACE } from '../fabrics/iscsi/iscsi-node.ts';
import type { AccessControl, IscsiTarget } from '../fabrics/iscsi/target-node.ts';
import { TargetPortGroup } from '../scsi/target-port-group.ts';
import { LunportError } from './errors.ts';
import { type IscsiAddress, type IscsiOptions, isLoopback } from './iscsi-options.ts';
import type { ServedDisk } from './served-disk.ts';
import type { ServedTarget } from './served-target.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

const DEFAULT_NAME = 'iqn.2026-01.io.lunport:target';
/** Relative target port of the first iSCSI port; the vhost-user port of the same target is 1. */
const FIRST_RELATIVE_PORT = 2;
const ISCSI_PROTOCOL = 5;

export class IscsiFabric {
  /** Where it listens, in the order asked for. */
  readonly addresses: readonly IscsiAddress[];
  /** iSCSI names, in the order of the server's targets. */
  readonly names: readonly string[];
  private readonly node: IscsiNode;
  /** With several portals, each target's port groups: its paths. */
  private readonly paths: ReadonlyMap<ServedTarget, readonly TargetPortGroup[]>;

  private constructor(
    node: IscsiNode,
    names: readonly string[],
    paths: ReadonlyMap<ServedTarget, readonly TargetPortGroup[]>,
  ) {
    this.node = node;
    this.paths = paths;
    this.addresses = node.portals.map(({ host, port }) => ({ host, port }));
    this.names = names;
  }

  /** Throws LunportError when an address cannot be had, or when it would let strangers in unasked. */
  static async open(
    targets: readonly ServedTarget[],
    options: IscsiOptions,
    shard: Shard,
    log: Log,
  ): Promise<IscsiFabric> {
    for (const { host } of options.addresses) refuseOpenDoor(host, options);
    const names = targets.map((_, i) => `${options.name ?? DEFAULT_NAME}${i === 0 ? '' : `-${i}`}`);
    const node = new IscsiNode(shard.environment, log, shard.engine);
    node.discoveryAccess = { admits: () => true, credentials: () => options.discoveryCredentials };
    const paths = new Map(targets.map((target) => [target, pathGroups(options.addresses.length)]));
    try {
      for (const [i, address] of options.addresses.entries()) {
        node.openPortal(address, portalTargets(targets, names, i, options));
      }
    } catch (error) {
      await node.close();
      throw error;
    }
    const fabric = new IscsiFabric(node, names, paths);
    for (const target of targets) for (const disk of target.disks.values()) fabric.add(target, disk);
    return fabric;
  }

  /** One more disk of a target that is served here: its LUN is there already, its paths are not. */
  add(target: ServedTarget, { unit }: ServedDisk): void {
    for (const group of this.paths.get(target)!) unit.alua.addGroup(group);
  }

  remove(target: ServedTarget, { unit }: ServedDisk): void {
    for (const group of this.paths.get(target)!) unit.alua.removeGroup(group);
  }

  /** Asks initiators to log out, waits a moment for them, and ends all sessions. */
  close(): Promise<void> {
    return this.node.close(LOGOUT_GRACE);
  }
}

/** Every portal is a target portal group, and so a SCSI target port, of its own (RFC 7143 4.4.1). */
function portalTargets(
  targets: readonly ServedTarget[],
  names: readonly string[],
  portal: number,
  options: IscsiOptions,
): IscsiTarget[] {
  const portalGroupTag = portal + 1;
  const access = accessOf(options.credentials, options.initiators);
  return targets.map((target, i) => ({
    name: names[i],
    alias: '',
    portalGroupTag,
    targetPort: {
      name: `${names[i]},t,0x${portalGroupTag.toString(16).padStart(4, '0')}`,
      relativeId: FIRST_RELATIVE_PORT + portal,
      protocol: ISCSI_PROTOCOL,
      portalGroupTag,
    },
    access,
    lunMap: () => target.lunMap,
  }));
}

/** With several portals each is a target port group too, so that initiators can choose between paths (ALUA). */
function pathGroups(portals: number): TargetPortGroup[] {
  if (portals === 1) return [];
  return Array.from(
    { length: portals },
    (_, portal) => new TargetPortGroup({ id: portal + 1, ports: [FIRST_RELATIVE_PORT + portal] }),
  );
}

/** Demo mode, everybody welcome, is for this machine only unless it is asked for. */
function refuseOpenDoor(host: string, { credentials, initiators, demo }: IscsiOptions): void {
  if (isLoopback(host) || credentials !== undefined || initiators.length > 0 || demo) return;
  throw new LunportError({
    code: 'open-door',
    object: host,
    message: `iSCSI on ${host} would let everybody on that network write to the disks`,
    hint: 'name the initiators with --initiator, set --chap, or say --demo-mode if that is what you want',
  });
}

function accessOf(credentials: ChapCredentials | undefined, initiators: readonly string[]): AccessControl {
  const allowed = new Set(initiators);
  return {
    admits: (name) => allowed.size === 0 || allowed.has(name),
    credentials: () => credentials,
  };
}
