/** The iSCSI side of a server: every target under a name of its own, at every portal, with the access asked for. */
import type { ChapCredentials } from '../fabrics/iscsi/chap.ts';
import { IscsiNode, LOGOUT_GRACE } from '../fabrics/iscsi/iscsi-node.ts';
import type { IscsiTarget } from '../fabrics/iscsi/target-node.ts';
import type { LunMap } from '../scsi/lun-map.ts';
import type { TargetPort } from '../scsi/port.ts';
import { TargetPortGroup } from '../scsi/target-port-group.ts';
import { UsageError } from './disk-spec.ts';
import { LunportError } from './errors.ts';
import { IscsiAccess, type IscsiTargetOptions, refuseSharedSecrets } from './iscsi-access.ts';
import { type IscsiAddress, type IscsiOptions, isLoopback } from './iscsi-options.ts';
import type { ServedDisk } from './served-disk.ts';
import type { ServedTarget } from './served-target.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

const DEFAULT_NAME = 'iqn.2026-01.io.lunport:target';
/** Relative target port of the first iSCSI port, from the target's first one; 1 is the vhost-user port. */
const FIRST_RELATIVE_PORT = 2;
const ISCSI_PROTOCOL = 5;

/** What each target says of itself: undefined for nothing, null for "not over iSCSI". */
type OwnOptions = ReadonlyMap<ServedTarget, IscsiTargetOptions | null | undefined>;

/** One target as iSCSI initiators find it. */
interface Offer {
  readonly name: string;
  /** By portal; undefined where it does not lead here. */
  readonly ports: readonly (TargetPort | undefined)[];
  readonly access: IscsiAccess;
  /** With several portals, the paths. */
  readonly groups: readonly TargetPortGroup[];
  readonly lunMap: (initiator: string) => LunMap;
  /** What initiators may see. */
  readonly lunMaps: readonly LunMap[];
}

export class IscsiFabric {
  /** Where it listens, in the order asked for. */
  readonly addresses: readonly IscsiAddress[];
  private readonly node: IscsiNode;
  private readonly offers: ReadonlyMap<ServedTarget, Offer>;

  private constructor(node: IscsiNode, offers: ReadonlyMap<ServedTarget, Offer>) {
    this.node = node;
    this.offers = offers;
    this.addresses = node.portals.map(({ host, port }) => ({ host, port }));
  }

  /** Throws LunportError when an address cannot be had, or when it would let strangers in unasked; and UsageError. */
  static async open(
    targets: OwnOptions,
    options: IscsiOptions,
    shard: Shard,
    log: Log,
  ): Promise<IscsiFabric> {
    const offers = makeOffers(targets, options);
    const node = new IscsiNode({ environment: shard.environment, log, engine: shard.engine });
    node.discoveryAccess = { admits: () => true, credentials: () => options.discoveryCredentials };
    try {
      for (const [i, address] of options.addresses.entries()) {
        node.openPortal(
          address,
          [...offers.values()].flatMap((offer) => targetAt(offer, i)),
        );
      }
    } catch (error) {
      await node.close();
      throw error;
    }
    for (const [target, { ports }] of offers) for (const port of ports) if (port) target.announce(port);
    const fabric = new IscsiFabric(node, offers);
    for (const target of offers.keys()) for (const disk of target.disks.values()) fabric.add(target, disk);
    return fabric;
  }

  /** Connections that ended because an initiator broke the protocol. */
  get protocolErrors(): number {
    return this.node.breaches;
  }

  /** The target's iSCSI name; undefined when it has none. */
  nameOf(target: ServedTarget): string | undefined {
    return this.offers.get(target)?.name;
  }

  /** Whether the portal, by its place in `addresses`, leads to the target. */
  isAt(target: ServedTarget, portal: number): boolean {
    return this.offers.get(target)?.ports[portal] !== undefined;
  }

  /** The LUNs that some initiator may see, in ascending order. */
  lunsOf(target: ServedTarget): number[] {
    const luns = this.offers.get(target)?.lunMaps.flatMap((map) => map.luns()) ?? [];
    return [...new Set(luns)].sort((a, b) => a - b);
  }

  /** One more disk of a target that is served here: its LUN is there already, its paths are not. */
  add(target: ServedTarget, { unit }: ServedDisk): void {
    for (const group of this.offers.get(target)?.groups ?? []) unit.alua.addGroup(group);
  }

  remove(target: ServedTarget, { unit }: ServedDisk): void {
    for (const group of this.offers.get(target)?.groups ?? []) unit.alua.removeGroup(group);
  }

  /** Asks initiators to log out, waits a moment for them, and ends all sessions. */
  close(): Promise<void> {
    return this.node.close(LOGOUT_GRACE);
  }
}

function makeOffers(targets: OwnOptions, options: IscsiOptions): Map<ServedTarget, Offer> {
  const offers = new Map<ServedTarget, Offer>();
  refuseSharedSecrets(allCredentials(targets, options));
  const names = new Set<string>();
  for (const [i, [target, own]] of [...targets].entries()) {
    if (own === null) continue;
    const chosen = own ?? options.target;
    const name = iscsiName(own, options, i);
    if (names.has(name)) throw new UsageError(`two targets have the iSCSI name ${name}`);
    names.add(name);
    const access = new IscsiAccess(chosen);
    const ports = options.addresses.map((address, portal) =>
      leadsTo(chosen, address) ? targetPort(name, portal, target.firstPort) : undefined,
    );
    const hosts = options.addresses.filter((_, portal) => ports[portal] !== undefined);
    if (access.open && !chosen.demo) for (const { host } of hosts) refuseOpenDoor(host);
    const lunMaps = lunMapsOf(target, chosen, access);
    offers.set(target, {
      name,
      access,
      ports,
      groups: pathGroups(ports),
      lunMap: (initiator) => lunMaps.get(lunMaps.has(initiator) ? initiator : OTHERS)!,
      lunMaps: [...lunMaps.values()],
    });
  }
  return offers;
}

function allCredentials(
  targets: OwnOptions,
  { target, discoveryCredentials }: IscsiOptions,
): ChapCredentials[] {
  const options = [target, ...targets.values()].filter((one) => one !== null && one !== undefined);
  const all = options.flatMap(({ credentials, acls }) => [
    credentials,
    ...acls.map((acl) => acl.credentials),
  ]);
  return [discoveryCredentials, ...all].filter((one) => one !== undefined && one !== null);
}

/** Under which name the server's target number `i` is found, if it is. */
export function iscsiName(
  own: Pick<IscsiTargetOptions, 'name'> | null | undefined,
  { target }: Pick<IscsiOptions, 'target'>,
  i: number,
): string {
  const base = (own ?? target).name ?? DEFAULT_NAME;
  return own?.name !== undefined || i === 0 ? base : `${base}-${i}`;
}

function leadsTo({ addresses }: IscsiTargetOptions, { host, port }: IscsiAddress): boolean {
  return addresses === undefined || addresses.some((each) => each.host === host && each.port === port);
}

/** Stands for the initiators without an ACL; no initiator has this name. */
const OTHERS = '';

function lunMapsOf(
  target: ServedTarget,
  { acls, others }: IscsiTargetOptions,
  access: IscsiAccess,
): Map<string, LunMap> {
  const names = acls.map(({ initiator }) => initiator);
  if (others !== 'refused') names.push(OTHERS);
  return new Map(
    names.map((name) => {
      const view = access.view(name);
      return [name, view === undefined ? target.lunMap : target.mask(view)];
    }),
  );
}

/** Every portal is a target portal group, and so a SCSI target port, of its own (RFC 7143 4.4.1). */
function targetPort(name: string, portal: number, firstPort: number): TargetPort {
  const portalGroupTag = portal + 1;
  return {
    name: `${name},t,0x${portalGroupTag.toString(16).padStart(4, '0')}`,
    relativeId: firstPort + FIRST_RELATIVE_PORT + portal,
    protocol: ISCSI_PROTOCOL,
    portalGroupTag,
  };
}

function targetAt({ name, ports, access, lunMap }: Offer, portal: number): IscsiTarget[] {
  const port = ports[portal];
  if (port === undefined) return [];
  const mayReset = (initiator: string) => access.view(initiator) === undefined;
  return [{ name, alias: '', portalGroupTag: portal + 1, targetPort: port, access, mayReset, lunMap }];
}

/** With several portals each is a target port group too, so that initiators can choose between paths (ALUA). */
function pathGroups(ports: readonly (TargetPort | undefined)[]): TargetPortGroup[] {
  const own = ports.flatMap((port) => port ?? []);
  if (own.length === 1) return [];
  // As many before it as portals before its own, and unique among targets that share a disk.
  return own.map(
    ({ relativeId }) =>
      new TargetPortGroup({ id: relativeId - FIRST_RELATIVE_PORT + 1, ports: [relativeId] }),
  );
}

/** Demo mode, everybody welcome, is for this machine only unless it is asked for. */
function refuseOpenDoor(host: string): void {
  if (isLoopback(host)) return;
  throw new LunportError({
    code: 'open-door',
    object: host,
    message: `iSCSI on ${host} would let everybody on that network use the disks`,
    hint: 'name the initiators with --acl, set --chap, or say --demo-mode if that is what you want; in a configuration: acls and others, credentials, demo',
  });
}
