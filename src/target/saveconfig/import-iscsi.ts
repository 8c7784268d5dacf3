/** An iSCSI target portal group of LIO as what a target of ours says of itself: portals, initiators, secrets. */
import { isIP } from 'node:net';
import { MAX_LUN } from '../../scsi/lun-map.ts';
import type { Configuration } from '../configuration/schema.ts';
import { checkName, isIscsiName } from '../iscsi-options.ts';
import type { Notes } from './notes.ts';
import type { LioChap, LioNodeAcl, LioTpg, Saveconfig } from './saveconfig-spec.ts';

export type IscsiTarget = NonNullable<Configuration['targets'][number]['iscsi']>;
type Acl = IscsiTarget['acls'][number];
type Address = NonNullable<IscsiTarget['addresses']>[number];
type Credentials = NonNullable<IscsiTarget['credentials']>;

const MAX_PORT = 65535;
const ANY_V4 = '0.0.0.0';
const ANY_V6 = '::';
/** Of an ACL's `authentication`: as its portal group has it. */
const INHERITED = -1;
/** LIO asks an ACL for a secret of its own or for nothing, never for what the portal group asks the others for. */
const NO_PROOF = { credentials: null };
/** What rtslib writes for a portal group that nobody has configured; what differs is negotiated otherwise here. */
const USUAL: Readonly<Record<string, RegExp>> = {
  AuthMethod: /^(CHAP,None|CHAP|None)$/,
  HeaderDigest: /^(CRC32C,None|None)$/,
  DataDigest: /^(CRC32C,None|None)$/,
  ErrorRecoveryLevel: /^0$/,
};

/** `luns`: the target's, as far as they could be imported. */
export function importIscsi(
  name: string,
  tpg: LioTpg,
  luns: ReadonlySet<number>,
  object: string,
  notes: Notes,
): IscsiTarget | undefined {
  if (!isIscsiName(name)) return notes.refused(object, `"${name}" is no iSCSI name`);
  const addresses = importPortals(tpg, object, notes);
  if (addresses.length === 0) return notes.refused(object, 'it has no portal that lunport can open');
  for (const [key, usual] of Object.entries(USUAL)) {
    const value = tpg.parameters[key];
    if (value !== undefined && !usual.test(value)) notes.ignored(object, `parameter ${key} = ${value}`);
  }
  const { generate_node_acls, authentication = 0, demo_mode_write_protect = 1 } = tpg.attributes;
  const proof = authentication === 0 ? undefined : importChap(tpg);
  // A text, as somebody's script may have written it, is no reason to open a door.
  const open = Number(generate_node_acls) === 1;
  const locked = open && authentication !== 0 && proof === undefined;
  if (locked)
    notes.ignored(object, 'initiators without an ACL must prove a secret, and none is set: they are refused');
  const others = !open || locked ? 'refused' : demo_mode_write_protect === 0 ? 'admitted' : 'read-only';
  const asked = others === 'refused' ? undefined : proof;
  return {
    name: checkName(name),
    addresses,
    ...(asked === undefined ? {} : { credentials: asked }),
    acls: tpg.node_acls.flatMap((acl, i) => {
      const place = `${object}/acls/${acl.node_wwn}`;
      const same = ({ node_wwn }: LioNodeAcl) => node_wwn.toLowerCase() === acl.node_wwn.toLowerCase();
      if (tpg.node_acls.findIndex(same) === i)
        return importAcl(acl, tpg, asked === undefined ? {} : NO_PROOF, luns, place, notes);
      notes.refused(place, 'the initiator has an ACL already');
      return [];
    }),
    others,
    demo: others !== 'refused' && proof === undefined,
  };
}

/** A number that lunport can give to a LUN. */
export function isLun(index: number): boolean {
  return Number.isInteger(index) && index >= 0 && index <= MAX_LUN;
}

function importPortals({ portals }: LioTpg, object: string, notes: Notes): Address[] {
  return portals.flatMap(({ ip_address, port, iser, offload }) => {
    const place = `${object}/portals/${ip_address}:${port}`;
    if (iser || offload) {
      notes.refused(
        place,
        `${iser ? 'iSER needs RDMA hardware' : 'offload needs its network card'}; lunport speaks iSCSI over TCP`,
      );
      return [];
    }
    const host = ip_address.replace(/^\[|\]$/g, '');
    if (isIP(host) === 0 || !Number.isInteger(port) || port < 1 || port > MAX_PORT) {
      notes.refused(place, 'it is no IP address and port');
      return [];
    }
    // LIO's takes IPv4 on it, too.
    const any = host === ANY_V6 || host === '::0';
    return any ? [ANY_V4, ANY_V6].map((each) => ({ host: each, port })) : [{ host, port }];
  });
}

/** `none`: what an ACL says that asks for nothing. */
function importAcl(
  acl: LioNodeAcl,
  tpg: LioTpg,
  none: Pick<Acl, 'credentials'>,
  luns: ReadonlySet<number>,
  object: string,
  notes: Notes,
): Acl[] {
  const nobody = (reason: string): Acl[] => {
    notes.refused(object, reason);
    return [];
  };
  if (!isIscsiName(acl.node_wwn)) return nobody('its initiator is no iSCSI name');
  const own = acl.attributes.authentication ?? INHERITED;
  const authentication = own === INHERITED ? (tpg.attributes.authentication ?? 0) : own;
  const credentials = authentication === 0 ? undefined : importChap(acl);
  if (authentication !== 0 && credentials === undefined) {
    return nobody('it must prove a secret, and none is set: nobody could log in by it');
  }
  return [
    {
      initiator: checkName(acl.node_wwn),
      ...(credentials === undefined ? none : { credentials }),
      ...(Number(tpg.attributes.prod_mode_write_protect) === 1 ? { readOnly: true } : {}),
      luns: importMappedLuns(acl, luns, object, notes),
    },
  ];
}

/** `luns`: the target's, as far as they could be imported. */
export function importMappedLuns(
  { mapped_luns }: LioNodeAcl,
  luns: ReadonlySet<number>,
  object: string,
  notes: Notes,
): NonNullable<Acl['luns']> {
  const seen = new Set<number>();
  const shown = new Set<number>();
  return mapped_luns.flatMap(({ index, tpg_lun, write_protect }) => {
    const place = `${object}/mapped_lun${index}`;
    if (!luns.has(tpg_lun)) notes.refused(place, `LUN ${tpg_lun} is not imported`);
    else if (seen.has(tpg_lun)) notes.refused(place, `LUN ${tpg_lun} is mapped for this initiator already`);
    else if (!isLun(index) || shown.has(index)) notes.refused(place, `LUN ${index} cannot be had`);
    else {
      seen.add(tpg_lun);
      shown.add(index);
      return [{ lun: index, targetLun: tpg_lun, writeProtected: write_protect }];
    }
    return [];
  });
}

export function importDiscovery({ fabric_modules }: Saveconfig): Credentials | undefined {
  const module = fabric_modules.find(
    ({ name, discovery_enable_auth }) => name === 'iscsi' && discovery_enable_auth,
  );
  if (module === undefined) return undefined;
  return importChap({
    chap_userid: module.discovery_userid,
    chap_password: module.discovery_password,
    chap_mutual_userid: module.discovery_mutual_userid,
    chap_mutual_password: module.discovery_mutual_password,
  });
}

function importChap(chap: LioChap): Credentials | undefined {
  const { chap_userid: user, chap_password: secret } = chap;
  if (user === '' || secret === '') return undefined;
  const { chap_mutual_userid: mutualUser, chap_mutual_password: mutualSecret } = chap;
  const mutual = mutualUser !== '' && mutualSecret !== '' && mutualSecret !== secret;
  return { user, secret, ...(mutual ? { mutualUser, mutualSecret } : {}) };
}
