/** `--iscsi ADDRESS[:PORT]` and its companions: where the iSCSI portal listens, and who may come in. */
import { isIP } from 'node:net';
import type { ChapCredentials } from '../fabrics/iscsi/chap.ts';
import { UsageError } from './disk-spec.ts';

export interface IscsiOptions {
  readonly host: string;
  readonly port: number;
  /** iSCSI name of the first target; further ones get a number. */
  readonly name: string | undefined;
  readonly credentials: ChapCredentials | undefined;
  /** Initiator names that may log in; empty: see `demo`. */
  readonly initiators: readonly string[];
  /** Lets everybody in, although the address is not a loopback one. */
  readonly demo: boolean;
}

const DEFAULT_PORT = 3260;
const NAME = /^(iqn\.\d{4}-\d{2}\.[a-z0-9.:-]+|eui\.[0-9a-f]{16}|naa\.([0-9a-f]{16}|[0-9a-f]{32}))$/;
const MAX_NAME_LENGTH = 223;

/** `192.0.2.1`, `192.0.2.1:3261`, `[::1]:3260`, `:3261`. Throws UsageError. */
export function parseAddress(text: string): { host: string; port: number } {
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

/** Throws UsageError for what no initiator would accept as a name. */
export function checkName(name: string): string {
  const lower = name.toLowerCase();
  if (lower.length > MAX_NAME_LENGTH || !NAME.test(lower)) {
    throw new UsageError(`"${name}" is no iSCSI name; expected something like iqn.2026-01.com.example:disk1`);
  }
  return lower;
}

/** `USER:SECRET`, or `USER:SECRET:MUTUAL_USER:MUTUAL_SECRET`. Throws UsageError. */
export function parseChap(text: string): ChapCredentials {
  const [user, secret, mutualUser, mutualSecret, ...rest] = text.split(':');
  if (!user || !secret || rest.length > 0 || (mutualUser === undefined) !== (mutualSecret === undefined)) {
    throw new UsageError('--chap: expected USER:SECRET or USER:SECRET:MUTUAL_USER:MUTUAL_SECRET');
  }
  if (secret === mutualSecret) throw new UsageError('--chap: the two secrets must differ (RFC 7143 9.2.1)');
  return { user, secret, mutualUser, mutualSecret };
}

export function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}
