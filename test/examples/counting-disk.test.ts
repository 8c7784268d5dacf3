import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { packageRoot } from '../../qemu/package-root.ts';

test('the example of a new kind of disk runs as its first lines say', async (t) => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['dist/examples/counting-disk.js'], {
    cwd: packageRoot(),
  });
  t.is(stdout, 'TEST UNIT READY: CHECK CONDITION\nblock 7 starts with LLLL\n1 read, 1 write\n');
  t.is(stderr, '');
});
