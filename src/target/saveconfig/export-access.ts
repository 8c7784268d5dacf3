/**
 * Who may come to a target, as LIO has it: attributes of the portal group, portals, node ACLs with mapped LUNs, CHAP.
 * What LIO would ask less proof for than lunport is written so that it asks as much.
 */
import type { Configuration } from '../configuration/schema.ts';
import { initiatorName } from '../served-target.ts';
import type { IscsiTarget } from './import-iscsi.ts';
import { alias, arrayIn, equal, type Json } from './lio-json.ts';
import type { Notes } from './notes.ts';

type Target = Configuration['targets'][number];
type Acl = IscsiTarget['acls'][number];
type Credentials = NonNullable<IscsiTarget['credentials']>;

/** Of an ACL's `authentication`: as its portal group has it. */
const INHERITED = -1;

/** What changes in the portal group `tpg`, which was imported as `before`; `object` is for notes. */
export function exportIscsiAccess(
  tpg: Json,
  before: IscsiTarget | undefined,
  now: IscsiTarget,
  luns: Target['luns'],
  object: string,
  notes: Notes,
): Json {
  const { others, credentials, acls } = now;
  const proof = credentials !== undefined || acls.some((acl) => acl.credentials);
  if (proof && others !== 'refused' && credentials === undefined)
    notes.ignored(
      object,
      'initiators without an ACL get in unproved here and not at LIO, as some ACL asks for proof',
    );
  return {
    attributes: {
      ...(tpg.attributes as Json),
      authentication: proof ? 1 : 0,
      generate_node_acls: others === 'refused' ? 0 : 1,
      demo_mode_write_protect: others === 'admitted' ? 0 : 1,
    },
    ...exportChap(credentials, tpg),
    portals: exportPortals(arrayIn(tpg, 'portals'), before, now),
    node_acls: exportAcls(arrayIn(tpg, 'node_acls'), before?.acls ?? [], acls, (acl, original) => {
      const was = before?.acls.find(({ initiator }) => initiator === acl.initiator);
      const same = equal(was, acl) && equal(before?.credentials, credentials);
      // At LIO, an ACL is not asked for what the portal group asks the others for.
      const own = (acl.credentials === undefined ? credentials : acl.credentials) ?? undefined;
      const written = same ? original : { ...exportAcl(acl, original, luns), ...exportChap(own, original) };
      return withProof(written, own !== undefined, proof);
    }),
  };
}

/** Each socket with an initiator's name or LUNs of its own is an ACL; undefined when nothing has changed. */
export function exportVhostAccess(
  tpg: Json,
  before: Target['sockets'],
  now: Target['sockets'],
  luns: Target['luns'],
): Json | undefined {
  const [old, acls] = [before, now].map(guests);
  if (equal(old, acls)) return undefined;
  const changed = (acl: Acl, original: Json) =>
    old.some((was) => equal(was, acl)) ? original : exportAcl(acl, original, luns);
  return { node_acls: exportAcls(arrayIn(tpg, 'node_acls'), old, acls, changed) };
}

/** Mapped LUNs that lead to no LUN of the portal group any more would be errors at LIO. */
export function withoutDangling(tpg: Json): Json {
  const indexes = new Set(arrayIn(tpg, 'luns').map(({ index }) => index));
  const acls = arrayIn(tpg, 'node_acls').map((acl) => {
    const mapped = arrayIn(acl, 'mapped_luns');
    const led = mapped.filter(({ tpg_lun }) => indexes.has(tpg_lun));
    return led.length === mapped.length ? acl : { ...acl, mapped_luns: led };
  });
  return 'node_acls' in tpg ? { ...tpg, node_acls: acls } : tpg;
}

export function exportDiscovery(
  now: Credentials | undefined,
  before: Credentials | undefined,
  modules: readonly Json[],
): Json[] {
  if (equal(now, before)) return [...modules];
  const others = modules.filter(({ name }) => name !== 'iscsi');
  const own = modules.find(({ name }) => name === 'iscsi') ?? { name: 'iscsi' };
  const { user = '', secret = '', mutualUser = '', mutualSecret = '' } = now ?? {};
  const discovery = {
    discovery_enable_auth: now !== undefined,
    discovery_userid: user,
    discovery_password: secret,
    discovery_mutual_userid: mutualUser,
    discovery_mutual_password: mutualSecret,
  };
  return [...others, { ...own, ...discovery }];
}

/** Virtual machines; those that nothing tells apart at LIO are none. */
function guests(sockets: Target['sockets'] = []): Acl[] {
  if (sockets.every(({ initiator, luns }) => initiator === undefined && luns === undefined)) return [];
  return sockets.map(({ path = '', ...socket }) => ({
    initiator: initiatorName({ path, ...socket }),
    luns: socket.luns,
  }));
}

/** Those that were not imported stay; `written` makes one from what was there. */
function exportAcls(
  nodeAcls: readonly Json[],
  before: readonly Acl[],
  now: readonly Acl[],
  written: (acl: Acl, original: Json) => Json,
): Json[] {
  const nameOf = (acl: Json) => String(acl.node_wwn).toLowerCase();
  const kept = nodeAcls.flatMap((original) => {
    const is = now.find(({ initiator }) => initiator === nameOf(original));
    if (is !== undefined) return [written(is, original)];
    return before.some(({ initiator }) => initiator === nameOf(original)) ? [] : [original];
  });
  const added = now.filter(({ initiator }) => !nodeAcls.some((acl) => nameOf(acl) === initiator));
  return [...kept, ...added.map((acl) => written(acl, { attributes: {} }))];
}

function exportAcl({ initiator, luns, readOnly = false }: Acl, original: Json, all: Target['luns']): Json {
  // LIO has no ACL that shows all LUNs, whichever there are.
  const mapped = luns ?? all.map(({ lun }) => ({ lun, targetLun: lun, writeProtected: false }));
  return {
    ...original,
    node_wwn: initiator,
    mapped_luns: mapped.map(({ lun, targetLun, writeProtected }) => ({
      index: lun,
      tpg_lun: targetLun,
      write_protect: writeProtected || readOnly,
      alias: alias(),
    })),
  };
}

/** `inherited`: whether the portal group asks for proof. */
function withProof(acl: Json, wanted: boolean, inherited: boolean): Json {
  const attributes = (acl.attributes ?? {}) as Json;
  const { authentication = INHERITED } = attributes;
  const asked = authentication === INHERITED ? inherited : authentication !== 0;
  if (asked === wanted) return acl;
  return { ...acl, attributes: { ...attributes, authentication: wanted ? 1 : 0 } };
}

/** Secrets that are no longer asked for do not stay. */
function exportChap(credentials: Credentials | undefined, original: Json): Json {
  if (credentials === undefined && original.chap_userid === undefined) return {};
  const { user = '', secret = '', mutualUser = '', mutualSecret = '' } = credentials ?? {};
  return {
    chap_userid: user,
    chap_password: secret,
    chap_mutual_userid: mutualUser,
    chap_mutual_password: mutualSecret,
  };
}

function exportPortals(portals: readonly Json[], before: IscsiTarget | undefined, now: IscsiTarget): Json[] {
  if (equal(before?.addresses, now.addresses)) return [...portals];
  return (now.addresses ?? []).map(({ host, port }) => {
    const ip_address = host.includes(':') ? `[${host}]` : host;
    const known = portals.find((portal) => portal.ip_address === ip_address && portal.port === port);
    return known ?? { ip_address, port, iser: false, offload: false };
  });
}
