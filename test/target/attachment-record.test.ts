import { execFile } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import {
  attachments,
  findAttachment,
  isServed,
  makeAttachmentDirectory,
  removeRecord,
  writeRecord,
} from '../../src/target/attachment-record.ts';

const folder = temporaryFolder();
process.env['XDG_RUNTIME_DIR'] = folder.path;
test.after.always(() => folder.remove());

test.serial('a record is found by name, file and device while its process lives, and after', async (t) => {
  const path = join(makeAttachmentDirectory('a'), 'disk');
  writeRecord({ name: 'a', kind: 'fuse', disk: 'a.img', path, device: '/dev/loop77' });
  for (const text of ['a', path, '/dev/loop77']) t.is(findAttachment(text)?.pid, process.pid, text);
  t.is(findAttachment('b'), undefined);
  const record = findAttachment('a')!;
  t.true(isServed(record));
  // The number may be somebody else's by now.
  t.false(isServed({ ...record, startTime: '1' }));
  const { stdout } = await promisify(execFile)('sh', ['-c', 'echo $$']);
  t.false(isServed({ ...record, pid: Number(stdout) }));
  removeRecord('a');
  t.deepEqual(attachments(), []);
});

test.serial('a record is replaced as a whole: who is killed while writing leaves the one before', (t) => {
  const directory = makeAttachmentDirectory('a');
  const record = { name: 'a', kind: 'ublk', disk: 'a.img', path: '/dev/ublkb0' } as const;
  writeRecord(record);
  const before = join(directory, 'before');
  linkSync(join(directory, 'record.json'), before);
  writeRecord({ ...record, recoveries: [1] });
  // What was there has not been written over, as it would have been before it was whole again.
  t.is(JSON.parse(readFileSync(before, 'utf8')).recoveries, undefined);
  t.deepEqual(findAttachment('a')?.recoveries, [1]);
  removeRecord('a');
});

const broken: [title: string, text: string][] = [
  ['half a record', '{"name":"x","ki'],
  ['a record of another kind', '{"name":"x","kind":"smoke","disk":"","pid":1,"startTime":"","path":""}'],
  ['something else', '[]'],
];
for (const [title, text] of broken) {
  test.serial(`${title} is none`, (t) => {
    mkdirSync(makeAttachmentDirectory('x'), { recursive: true });
    writeFileSync(join(makeAttachmentDirectory('x'), 'record.json'), text);
    t.deepEqual(attachments(), []);
    removeRecord('x');
  });
}
