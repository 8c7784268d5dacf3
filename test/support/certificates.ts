/** A certificate authority for one test, with a server's and a client's certificate, in QEMU's file names. */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const openssl = (...args: string[]) => promisify(execFile)('openssl', args);
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Fills `folder` with ca-cert.pem, {server,client}-{cert,key}.pem; the server is localhost. */
export async function makeCertificates(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const path = (name: string) => join(folder, name);
  const ca = [
    '-x509',
    ...KEY,
    '-days',
    '2',
    '-subj',
    '/CN=lunport test',
    '-addext',
    'keyUsage=keyCertSign,cRLSign',
  ];
  await openssl('req', ...ca, '-keyout', path('ca-key.pem'), '-out', path('ca-cert.pem'));
  for (const role of ['server', 'client']) {
    const request = path(`${role}.csr`);
    const extensions = path(`${role}.ext`);
    writeFileSync(extensions, 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n');
    await openssl('req', ...KEY, '-subj', `/CN=${role}`, '-keyout', path(`${role}-key.pem`), '-out', request);
    const signer = ['-CA', path('ca-cert.pem'), '-CAkey', path('ca-key.pem'), '-CAcreateserial'];
    const output = ['-days', '2', '-extfile', extensions, '-out', path(`${role}-cert.pem`)];
    await openssl('x509', '-req', '-in', request, ...signer, ...output);
  }
}
