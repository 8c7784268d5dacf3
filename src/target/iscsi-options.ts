/** `--iscsi ADDRESS[:PORT]` and its companions: where the iSCSI portal listens, and who may come in. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ChapCredentials } from '../fabrics/iscsi/chap.ts';
import { UsageError } from './disk-spec.ts';
import type { IscsiAcl, IscsiTargetOptions } from './iscsi-access.ts';
import type { MappedLun } from './lun-mask.ts';

export interface IscsiAddress {
  readonly host: string;
  readonly port: number;
}

/** The iSCSI side of a server. Plain data, as JSON has it. */
export interface IscsiOptions {
  /** Portals, each a target portal group of its own. */
  readonly addresses: readonly IscsiAddress[];
  /** What discovery sessions must prove. */
  readonly discoveryCredentials?: ChapCredentials;
  /** How targets are to be had that say nothing themselves (`TargetSpec.iscsi`). */
  readonly target: IscsiTargetOptions;
}

const DEFAULT_PORT = 3260;
const NAME = /^(iqn\.\d{4}-\d{2}\.[a-z0-9.:-]+|eui\.[0-9a-f]{16}|naa\.([0-9a-f]{16}|[0-9a-f]{32}))$/;
/** Permissions of group and others. */
const OTHERS = 0o077;
const MAX_NAME_LENGTH = 223;

/** `192.0.2.1`, `192.0.2.1:3261`, `[::1]:3260`, `:3261`. Throws UsageError. */
export function parseAddress(text: string): IscsiAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text);
  const host = match?.[1] ?? (match?.[2] || '127.0.0.1');
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (match === null || isIP(host) === 0 || port > 65535) {
    throw new UsageError(
      `--iscsi: expected ADDRESS[:PORT] such as 127.0.0.1:3260 or [::1] but received "${text}"`,
    );
  }
  return { host, port };
}

/** In whatever case. */
export function isIscsiName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && NAME.test(name.toLowerCase());
}

/** Throws UsageError for what no initiator would accept as a name. */
export function checkName(name: string): string {
  if (!isIscsiName(name)) {
    throw new UsageError(`"${name}" is no iSCSI name; expected something like iqn.2026-01.com.example:disk1`);
  }
  return name.toLowerCase();
}

/** The same for others' names, which hold what their makers thought good. Throws UsageError. */
export function checkInitiator(name: string): string {
  checkName(name.replaceAll('_', '-'));
  return name.toLowerCase();
}

/**
 * `USER:SECRET`, `USER:SECRET:MUTUAL_USER:MUTUAL_SECRET`, or `@FILE` with such a line, since everybody can read the
 * arguments of a process. Throws UsageError.
 */
export function parseChap(option: string, text: string): ChapCredentials {
  const line = text.startsWith('@') ? secretLine(option, text.slice(1)) : text;
  const [user, secret, mutualUser, mutualSecret, ...rest] = line.split(':');
  if (!user || !secret || rest.length > 0 || (mutualUser === undefined) !== (mutualSecret === undefined)) {
    throw new UsageError(`${option}: expected USER:SECRET, USER:SECRET:MUTUAL_USER:MUTUAL_SECRET or @FILE`);
  }
  return { user, secret, mutualUser, mutualSecret };
}

/** Of an initiator that need not prove what others must. */
const NO_CHAP = 'none';

/**
 * `INITIATOR[,lun=LUN[:TARGET_LUN][:ro]]...[,ro][,chap=CHAP|none]`: one initiator's rights. Without `lun`, all LUNs of the
 * target. Throws UsageError.
 */
export function parseAcl(text: string): IscsiAcl {
  const [name, ...options] = text.split(',');
  const luns: MappedLun[] = [];
  let readOnly = false;
  let credentials: ChapCredentials | null | undefined;
  for (const option of options) {
    const [, key, value] = /^([a-z]+)(?:=(.*))?$/.exec(option) ?? [];
    if (key === 'ro' && value === undefined) readOnly = true;
    else if (key === 'lun' && value !== undefined) luns.push(parseMappedLun(value));
    else if (key === 'chap' && value !== undefined)
      credentials = value === NO_CHAP ? null : parseChap('--acl', value);
    // What was there instead may be half a secret.
    else throw new UsageError(`--acl: expected lun=LUN[:TARGET_LUN][:ro], ro or chap=… after ${name}`);
  }
  return { initiator: checkInitiator(name), credentials, luns: luns.length > 0 ? luns : undefined, readOnly };
}

function parseMappedLun(text: string): MappedLun {
  const match = /^(\d{1,5})(?::(\d{1,5}))?(:ro)?$/.exec(text);
  if (match === null)
    throw new UsageError(
      `--acl: expected lun=LUN[:TARGET_LUN][:ro] such as lun=0:3:ro but received "lun=${text}"`,
    );
  const [, lun, targetLun = lun, ro] = match;
  return { lun: Number(lun), targetLun: Number(targetLun), writeProtected: ro !== undefined };
}

function secretLine(option: string, path: string): string {
  let text: string;
  let mode: number;
  try {
    const fd = openSync(path, 'r');
    try {
      mode = fstatSync(fd).mode;
      text = readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new UsageError(`${option}: cannot read ${path}: ${(error as Error).message}`);
  }
  if ((mode & OTHERS) !== 0)
    throw new UsageError(`${option}: others than its owner may use ${path}; say chmod 600 ${path}`);
  return text.split('\n')[0].trim();
}

export function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}
