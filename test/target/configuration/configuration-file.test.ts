/** Where a configuration is written to, and where it is not. */
import { lchownSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { writeText } from '../../../src/target/configuration/configuration-file.ts';

const STRANGER = 4711;

test.serial("another user's link is not followed, our own is", async (t) => {
  const folder = temporaryFolder();
  const whoWeAre = process.getuid!;
  t.teardown(() => {
    process.getuid = whoWeAre;
    folder.remove();
  });
  const file = join(folder.path, 'file');
  const link = join(folder.path, 'link');
  writeFileSync(file, 'old');
  symlinkSync(file, link);
  await writeText(link, 'new');
  t.is(readFileSync(file, 'utf8'), 'new');
  // Only root can make it another's; for others, we are another.
  if (whoWeAre() === 0) lchownSync(link, STRANGER, STRANGER);
  else process.getuid = () => STRANGER;
  await t.throwsAsync(writeText(link, 'newer'), { code: 'foreign-link' });
  t.is(readFileSync(file, 'utf8'), 'new');
});

test('what is no file is not replaced, and nothing is left beside it', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  mkdirSync(join(folder.path, 'directory'));
  await t.throwsAsync(writeText(join(folder.path, 'directory'), 'text'), { code: 'not-a-file' });
  await t.throwsAsync(writeText(join(folder.path, 'none', 'file'), 'text'), { code: 'ENOENT' });
  t.deepEqual(readdirSync(folder.path), ['directory']);
});
