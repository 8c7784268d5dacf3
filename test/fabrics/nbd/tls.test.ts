/** STARTTLS with clients that we did not write: libnbd (GnuTLS). */
import { execFile } from 'node:child_process';
import { cpSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { Option, Reply } from '../../../src/fabrics/nbd/nbd-spec.ts';
import {
  authenticatesClients,
  certificateOptions,
  presharedKeyOptions,
} from '../../../src/fabrics/nbd/tls.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { goRequest, NbdClient } from '../../support/nbd-client.ts';
import { openNbdServer } from '../../support/nbd-server.ts';

const folder = temporaryFolder();
const certificates = join(folder.path, 'certificates');
const strangers = join(folder.path, 'strangers');
const anonymous = join(folder.path, 'anonymous');
const keys = join(folder.path, 'keys.psk');
test.before(async () => {
  await makeCertificates(certificates);
  await makeCertificates(strangers);
  cpSync(certificates, anonymous, { recursive: true });
  rmSync(join(anonymous, 'ca-cert.pem'));
  writeFileSync(keys, `alice:${'0123456789abcdef'.repeat(4)}\nbob:${'fedcba9876543210'.repeat(4)}\n`);
});
test.after.always(() => folder.remove());

function nbdinfo(uri: string): Promise<{ code: number; text: string }> {
  return new Promise((resolve) => {
    execFile('nbdinfo', ['--size', uri], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), text: stdout + stderr });
    });
  });
}

test('a client with a certificate is let in', async (t) => {
  const served = await openNbdServer({}, certificateOptions(certificates));
  t.teardown(() => served.close());
  const { code, text } = await nbdinfo(
    `${served.uri}&tls-certificates=${certificates}&tls-hostname=localhost`,
  );
  t.deepEqual([code, text], [0, '1048576\n']);
});

test("a client with somebody else's certificate is not", async (t) => {
  const served = await openNbdServer({}, certificateOptions(certificates));
  t.teardown(() => served.close());
  cpSync(join(certificates, 'ca-cert.pem'), join(strangers, 'ca-cert.pem'));
  const { code } = await nbdinfo(`${served.uri}&tls-certificates=${strangers}&tls-hostname=localhost`);
  t.not(code, 0);
});

test('without ca-cert.pem clients need no certificate', async (t) => {
  const options = certificateOptions(anonymous);
  t.false(authenticatesClients(options));
  t.true(authenticatesClients(certificateOptions(certificates)));
  const served = await openNbdServer({}, options);
  t.teardown(() => served.close());
  const client = join(folder.path, 'only-ca');
  cpSync(join(certificates, 'ca-cert.pem'), join(client, 'ca-cert.pem'));
  const { code, text } = await nbdinfo(`${served.uri}&tls-certificates=${client}&tls-hostname=localhost`);
  t.is(code, 0, text);
});

test('a ca-cert.pem that leads nowhere is an error, and lets nobody in', (t) => {
  const broken = join(folder.path, 'broken');
  cpSync(anonymous, broken, { recursive: true });
  symlinkSync('/nowhere/ca-cert.pem', join(broken, 'ca-cert.pem'));
  t.throws(() => certificateOptions(broken), { code: 'ENOENT', message: /ca-cert\.pem/ });
});

for (const [user, expected] of [
  ['alice', 0],
  ['mallory', 1],
] as const) {
  test(`pre-shared keys: ${user} ends with ${expected}`, async (t) => {
    const options = presharedKeyOptions(keys);
    t.true(authenticatesClients(options));
    const served = await openNbdServer({}, options);
    t.teardown(() => served.close());
    const theirs = join(folder.path, `${user}.psk`);
    writeFileSync(theirs, `${user}:${'0123456789abcdef'.repeat(4)}\n`);
    const uri = served.uri.replace('unix:///', `unix://${user}@/`);
    const { code, text } = await nbdinfo(`${uri}&tls-psk-file=${theirs}`);
    t.is(code, expected, text);
  });
}

test('nothing is told before TLS', async (t) => {
  const served = await openNbdServer({}, certificateOptions(certificates));
  t.teardown(() => served.close());
  const client = await NbdClient.open(served.path);
  for (const [option, data] of [
    [Option.LIST, undefined],
    [Option.GO, goRequest('')],
    [Option.STRUCTURED_REPLY, undefined],
  ] as const) {
    const [{ type }] = await client.option(option, data);
    t.is(type, Reply.ERR_TLS_REQD);
  }
  client.sendOption(Option.EXPORT_NAME);
  await client.hungUp();
  t.regex(served.endings.join(), /before TLS/);
});

test('what comes behind STARTTLS in the clear ends the connection', async (t) => {
  const served = await openNbdServer({}, certificateOptions(certificates));
  t.teardown(() => served.close());
  const client = await NbdClient.open(served.path);
  client.socket.cork();
  client.sendOption(Option.STARTTLS);
  client.sendOption(Option.LIST);
  client.socket.uncork();
  await client.hungUp();
  t.regex(served.endings.join(), /data behind STARTTLS/);
});

test('a client that says nothing sensible in TLS is let go', async (t) => {
  const served = await openNbdServer({}, certificateOptions(certificates));
  t.teardown(() => served.close());
  const client = await NbdClient.open(served.path);
  await client.option(Option.STARTTLS);
  client.write(Buffer.alloc(1000, 'x'));
  await client.hungUp();
  t.regex(served.endings.join(), /TLS:/);
});

const badFiles: [title: string, text: string][] = [
  ['an empty file', '\n'],
  ['a key that is no hexadecimal', 'alice:secret\n'],
  ['a short key', 'alice:0011\n'],
  ['no key', 'alice\n'],
];
for (const [title, text] of badFiles) {
  test(`${title} is no file of pre-shared keys`, (t) => {
    const path = join(folder.path, `${encodeURIComponent(title)}.psk`);
    writeFileSync(path, text);
    t.throws(() => presharedKeyOptions(path), { message: /psk/ });
  });
}
