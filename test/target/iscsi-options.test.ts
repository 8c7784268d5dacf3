import test from 'ava';
import { UsageError } from '../../src/target/disk-spec.ts';
import type { IscsiAcl } from '../../src/target/iscsi-access.ts';
import { parseAcl } from '../../src/target/iscsi-options.ts';

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
