/** Who may come in over iSCSI, said so that everybody could, or that it contradicts itself: the server does not start. */
import test from 'ava';
import { UsageError } from '../../src/target/disk-spec.ts';
import { LunportError } from '../../src/target/errors.ts';
import type { IscsiAcl, IscsiTargetOptions } from '../../src/target/iscsi-access.ts';
import type { IscsiOptions } from '../../src/target/iscsi-options.ts';
import { startControlled } from '../support/control.ts';

const IQN = 'iqn.2026-01.example.lunport:acl';
const A = 'iqn.2026-01.example.initiator:a';
const B = 'iqn.2026-01.example.initiator:b';

function options(target: Partial<IscsiTargetOptions>, host = '127.0.0.1'): IscsiOptions {
  const defaults = { name: IQN, acls: [], others: 'refused', demo: false } as const;
  return { addresses: [{ host, port: 0 }], target: { ...defaults, ...target } };
}

const MAPPED: IscsiAcl = { initiator: A, luns: [{ lun: 0, targetLun: 0, writeProtected: true }] };
const secrets = { credentials: { user: 'all', secret: 'the secret of all' } };
const OWN = {
  user: 'a',
  secret: 'a-secret-of-its-own',
  mutualUser: 'target',
  mutualSecret: 'and-ours-for-it',
};

const doors: [title: string, host: string, target: Partial<IscsiTargetOptions>, opens: boolean][] = [
  ['nobody named, on loopback', '127.0.0.1', { others: 'admitted' }, true],
  ['nobody named, on every address', '0.0.0.0', { others: 'admitted' }, false],
  ['nobody named, on every IPv6 address', '::', { others: 'admitted' }, false],
  ['the others read-only, on every address', '0.0.0.0', { others: 'read-only' }, false],
  ['an ACL and the others too', '0.0.0.0', { acls: [MAPPED], others: 'admitted' }, false],
  [
    "a secret in an ACL, none of the others'",
    '0.0.0.0',
    { acls: [{ ...MAPPED, credentials: OWN }], others: 'admitted' },
    false,
  ],
  ['an ACL alone', '0.0.0.0', { acls: [MAPPED] }, true],
  ['a secret', '0.0.0.0', { ...secrets, others: 'admitted' }, true],
  ['demo mode asked for', '0.0.0.0', { others: 'admitted', demo: true }, true],
];
for (const [title, host, target, opens] of doors) {
  test(`the server ${opens ? 'starts' : 'does not start'} with ${title}`, async (t) => {
    const start = startControlled(['ram:1M'], { iscsi: options(target, host) });
    if (opens) await t.notThrowsAsync(start.then((it) => it.close()));
    else await t.throwsAsync(start, { instanceOf: LunportError, code: 'open-door' });
  });
}

const twice = (luns: IscsiAcl['luns']): IscsiAcl[] => [{ initiator: A, luns }];
const chap = (secret: string, mutualSecret?: string) => ({
  user: 'u',
  secret,
  mutualUser: 't',
  mutualSecret,
});
const contradictions: [acls: IscsiAcl[], message: RegExp][] = [
  [[{ initiator: A, credentials: chap('same', 'same') }], /no initiator's secret/],
  [
    [
      { initiator: A, credentials: chap('one', 'other') },
      { initiator: B, credentials: chap('other') },
    ],
    /no initiator's secret/,
  ],
  [[{ initiator: A, credentials: chap('') }], /not empty/],
  [[{ initiator: A }, { initiator: A }], /two ACLs/],
  [
    twice([
      { lun: 1, targetLun: 0, writeProtected: false },
      { lun: 1, targetLun: 2, writeProtected: false },
    ]),
    /LUN 1 is mapped twice/,
  ],
  [
    twice([
      { lun: 1, targetLun: 0, writeProtected: false },
      { lun: 2, targetLun: 0, writeProtected: false },
    ]),
    /LUN 0 of the target is mapped twice/,
  ],
  [twice([{ lun: 16384, targetLun: 0, writeProtected: false }]), /0 to 16383/],
];
for (const [i, [acls, message]] of contradictions.entries()) {
  test(`ACLs that contradict themselves are refused (${i}): ${message.source}`, async (t) => {
    await t.throwsAsync(startControlled(['ram:1M'], { iscsi: options({ acls }) }), {
      instanceOf: UsageError,
      message,
    });
  });
}
