import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pid } from 'node:process';
import test from 'ava';
import { opensDirect } from '../../bench/open-flags.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';

test('a file that is open with O_DIRECT is told from one that is not', (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = join(folder.path, 'disk');
  writeFileSync(path, '');
  const buffered = openSync(path, 'r');
  t.false(opensDirect(pid, path));
  const direct = openSync(path, constants.O_RDONLY | constants.O_DIRECT);
  t.true(opensDirect(pid, path));
  closeSync(direct);
  t.false(opensDirect(pid, path));
  closeSync(buffered);
});
