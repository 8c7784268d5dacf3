import test from 'ava';
import { type IscsiCommandOptions, iscsiOptions } from '../../src/cli/iscsi-options.ts';
import { UsageError } from '../../src/target/disk-spec.ts';
import type { IscsiTargetOptions } from '../../src/target/iscsi-access.ts';

const A = 'iqn.2026-01.example.initiator:a';
const B = 'iqn.2026-01.example.initiator:b';
const none: IscsiCommandOptions = {};

const rows: [title: string, options: Partial<IscsiCommandOptions>, target: Partial<IscsiTargetOptions>][] = [
  ['nobody is named: anybody may come, where the door may be open', {}, { others: 'admitted', demo: false }],
  ['somebody is named: nobody else may come', { initiator: [A] }, { others: 'refused', demo: false }],
  ['an ACL names somebody', { acl: [`${A},lun=1:ro`] }, { others: 'refused', demo: false }],
  ['demo mode lets the others in too', { acl: [A], demoMode: true }, { others: 'admitted', demo: true }],
];
for (const [title, options, target] of rows) {
  test(title, (t) => {
    t.like(iscsiOptions({ ...none, iscsi: ['0.0.0.0'], ...options })!.target, target);
  });
}

test('--acl and --initiator name initiators of one list', (t) => {
  const { target } = iscsiOptions({ ...none, iscsi: ['[::1]'], acl: [`${A},ro`], initiator: [B] })!;
  t.deepEqual(
    target.acls.map(({ initiator, readOnly = false }) => [initiator, readOnly]),
    [
      [A, true],
      [B, false],
    ],
  );
});

const alone: Partial<IscsiCommandOptions>[] = [
  { acl: [A] },
  { initiator: [A] },
  { chap: 'u:s' },
  { demoMode: true },
];
for (const options of alone) {
  test(`--${Object.keys(options)[0]} without --iscsi is refused`, (t) => {
    t.throws(() => iscsiOptions({ ...none, ...options }), {
      instanceOf: UsageError,
      message: /need --iscsi/,
    });
  });
}
