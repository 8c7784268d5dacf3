/**
 * TLS for NBD (STARTTLS): certificates or pre-shared keys, with the file names and formats that qemu, nbdkit and
 * libnbd have in common.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';

/** Node's own list leaves pre-shared keys out. */
const PSK_CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'DHE-PSK-AES256-GCM-SHA384',
  'DHE-PSK-AES128-GCM-SHA256',
].join(':');
const MINIMUM_KEY_LENGTH = 16;
const AUTHORITY = 'ca-cert.pem';

/**
 * From a directory with server-cert.pem and server-key.pem. With ca-cert.pem beside them, clients must show a
 * certificate that it signed. Throws Node's errors for files that cannot be read.
 */
export function certificateOptions(directory: string): TlsOptions {
  // One that is there and cannot be read is no reason to let everybody in.
  const verify = readdirSync(directory).includes(AUTHORITY);
  return {
    cert: readFileSync(join(directory, 'server-cert.pem')),
    key: readFileSync(join(directory, 'server-key.pem')),
    ca: verify ? readFileSync(join(directory, AUTHORITY)) : undefined,
    requestCert: verify,
    rejectUnauthorized: verify,
    minVersion: 'TLSv1.2',
  };
}

/** From a file of `user:key` lines, keys in hexadecimal, as psktool and nbdkit have it. Throws an Error. */
export function presharedKeyOptions(path: string): TlsOptions {
  const keys = new Map<string, Buffer>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [user, key, ...rest] = line.trim().split(':');
    if (
      !user ||
      rest.length > 0 ||
      !/^([0-9a-f]{2})+$/i.test(key ?? '') ||
      key.length < 2 * MINIMUM_KEY_LENGTH
    ) {
      throw new Error(`${path}: expected lines of user:key, the key of at least 32 hexadecimal digits`);
    }
    keys.set(user, Buffer.from(key, 'hex'));
  }
  if (keys.size === 0) throw new Error(`${path} holds no key`);
  return {
    ciphers: PSK_CIPHERS,
    minVersion: 'TLSv1.2',
    pskCallback: (_socket, identity) => keys.get(identity) ?? null,
  };
}

/** Whether `options` let in only clients that prove who they are. */
export function authenticatesClients(options: TlsOptions): boolean {
  return options.pskCallback !== undefined || options.rejectUnauthorized === true;
}

/** The encrypted side of `socket`, when the client has passed every check; rejects with why it has not. */
export function acceptTls(socket: Socket, options: TlsOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // A server that never listens: it does for one socket what it would do for each of its own.
    const server = createServer({ ...options, allowHalfOpen: true });
    server.once('secureConnection', resolve);
    server.once('tlsClientError', reject);
    socket.once('close', () => reject(new Error('the client went away')));
    server.emit('connection', socket);
  });
}
