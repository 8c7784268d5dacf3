/** `--nbd SOCKET|ADDRESS[:PORT]` and its companions: where the NBD server listens, and who may come in. */
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import type { NbdAddress } from '../fabrics/nbd/nbd-server.ts';
import { UsageError } from './disk-spec.ts';

export interface NbdOptions {
  readonly address: NbdAddress;
  /** Directory with server-cert.pem, server-key.pem, and ca-cert.pem when clients must have certificates too. */
  readonly certificates?: string;
  /** File of `user:key` lines. */
  readonly keys?: string;
  /** Lets everybody in, although the address is not a loopback one. */
  readonly open: boolean;
}

/** Registered with IANA for NBD. */
const DEFAULT_PORT = 10809;

/** A path has a slash in it; everything else is an IP address, a port, or both. Throws UsageError. */
export function parseNbdAddress(text: string): NbdAddress {
  if (text.includes('/')) return { path: resolve(text) };
  if (/^\d+$/.test(text)) return { host: '127.0.0.1', port: portOf(text, text) };
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text);
  const host = match?.[1] ?? (match?.[2] || '127.0.0.1');
  if (match === null || text === '' || isIP(host) === 0) throw unexpected(text);
  return { host, port: match[3] === undefined ? DEFAULT_PORT : portOf(match[3], text) };
}

function portOf(digits: string, text: string): number {
  const port = Number(digits);
  if (port > 65535) throw unexpected(text);
  return port;
}

function unexpected(text: string): UsageError {
  return new UsageError(
    `--nbd: expected a socket such as ./disk.nbd, or ADDRESS[:PORT] such as 127.0.0.1:10809, but received "${text}"`,
  );
}
