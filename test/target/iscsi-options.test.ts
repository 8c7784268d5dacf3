import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { UsageError } from '../../src/target/disk-spec.ts';
import type { IscsiAcl } from '../../src/target/iscsi-access.ts';
import { parseAcl, parseChap } from '../../src/target/iscsi-options.ts';

const A = 'iqn.2026-01.example.initiator:a';
const mapped = (lun: number, targetLun: number, writeProtected = false) => ({
  lun,
  targetLun,
  writeProtected,
});

const acls: [text: string, acl: Partial<IscsiAcl>][] = [
  [A, {}],
  [A.toUpperCase(), {}],
  [`${A},ro`, { readOnly: true }],
  [`${A},lun=3`, { luns: [mapped(3, 3)] }],
  [`${A},lun=0:3:ro,lun=1:4`, { luns: [mapped(0, 3, true), mapped(1, 4)] }],
  [`${A},lun=2:ro`, { luns: [mapped(2, 2, true)] }],
  [`${A},lun=0,chap=me:secret`, { luns: [mapped(0, 0)], credentials: chap('me', 'secret') }],
  [`${A},chap=none`, { credentials: null }],
  [`${A},chap=me:secret:you:other`, { credentials: chap('me', 'secret', 'you', 'other') }],
];

function chap(user: string, secret: string, mutualUser?: string, mutualSecret?: string) {
  return { user, secret, mutualUser, mutualSecret };
}

for (const [text, acl] of acls) {
  test(`--acl ${text}`, (t) => {
    const expected = { initiator: A, luns: undefined, readOnly: false, credentials: undefined, ...acl };
    t.deepEqual(parseAcl(text), expected);
  });
}

test('an ACL may name an initiator with an underscore, as QEMU makes them', (t) => {
  t.is(parseAcl('iqn.2008-11.org.linux-kvm:my_VM').initiator, 'iqn.2008-11.org.linux-kvm:my_vm');
});

const folder = temporaryFolder();
test.after.always(() => folder.remove());
const files: [mode: number, taken: boolean][] = [
  [0o600, true],
  [0o400, true],
  [0o640, false],
  [0o604, false],
  [0o620, false],
];
for (const [mode, taken] of files) {
  test(`a file of secrets of mode ${mode.toString(8)} is ${taken ? 'taken' : 'refused'}`, (t) => {
    const path = join(folder.path, mode.toString(8));
    writeFileSync(path, 'me:secret\n');
    chmodSync(path, mode);
    if (taken) t.deepEqual(parseChap('--chap', `@${path}`), chap('me', 'secret'));
    else t.throws(() => parseChap('--chap', `@${path}`), { instanceOf: UsageError, message: /chmod 600/ });
  });
}

for (const text of [`${A},chap=me:se,cret`, `${A},chap=secret`, `${A},CHAP=me:secret`]) {
  test(`what is wrong with --acl ${text} is said without the secret`, (t) => {
    t.notRegex(t.throws(() => parseAcl(text), { instanceOf: UsageError }).message, /cret/);
  });
}

for (const text of [
  '',
  'me',
  `${A},`,
  `${A},lun`,
  `${A},lun=`,
  `${A},lun=0:rw`,
  `${A},lun=-1`,
  `${A},ro=1`,
  `${A},x`,
]) {
  test(`--acl ${JSON.stringify(text)} is refused`, (t) => {
    t.throws(() => parseAcl(text), { instanceOf: UsageError });
  });
}
