import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { writeIscsiSecret } from '../../src/target/open-iscsi-secret.ts';

const TARGET = 'iqn.2026-01.io.lunport:attach-a';
const BEFORE = [
  '# BEGIN RECORD 2.1.8',
  'node.session.auth.authmethod = CHAP',
  'node.session.auth.password = old',
  'node.session.auth.password_in = other',
  '# END RECORD',
  '',
].join('\n');
const AFTER = [
  '# BEGIN RECORD 2.1.8',
  'node.session.auth.authmethod = CHAP',
  'node.session.auth.password_in = other',
  'node.session.auth.password = new',
  '# END RECORD',
  '',
].join('\n');

for (const [title, path] of [
  ['a portal and an interface', ['127.0.0.1,3260,1', 'default']],
  ['a portal', ['127.0.0.1,3260']],
] as const) {
  test(`the secret goes into the record of ${title}, which others cannot read`, async (t) => {
    const folder = temporaryFolder();
    t.teardown(() => folder.remove());
    const record = join(folder.path, TARGET, ...path);
    mkdirSync(join(record, '..'), { recursive: true });
    writeFileSync(record, BEFORE, { mode: 0o644 });
    await writeIscsiSecret(TARGET, 'new', [join(folder.path, 'nowhere'), folder.path]);
    t.is(readFileSync(record, 'utf8'), AFTER);
    t.is(statSync(record).mode & 0o777, 0o600);
  });
}

test('a target without a record is an error', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  await t.throwsAsync(writeIscsiSecret(TARGET, 'new', [folder.path]), { code: 'no-iscsi-record' });
});
