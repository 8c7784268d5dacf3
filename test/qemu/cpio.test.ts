import test from 'ava';
import { Cpio } from '../../qemu/cpio.ts';

interface Entry {
  readonly name: string;
  readonly mode: number;
  readonly data: string;
}

/** A reader of its own, after the kernel's: init/initramfs.c. */
function read(archive: Buffer): Entry[] {
  const entries: Entry[] = [];
  let at = 0;
  while (at < archive.length) {
    const field = (index: number) =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameEnd = at + 110 + field(11);
    const data = (nameEnd + 3) & ~3;
    const size = field(6);
    entries.push({
      name: archive.toString('utf8', at + 110, nameEnd - 1),
      mode: field(1),
      data: archive.toString('utf8', data, data + size),
    });
    at = (data + size + 3) & ~3;
  }
  return entries;
}

test('files, links and devices come out as they went in, after the folders above them', (t) => {
  const cpio = new Cpio();
  cpio.file('/usr/bin/tool', 'text', 0o755);
  cpio.link('/bin', 'usr/bin');
  cpio.device('/dev/console', 5, 1);
  t.deepEqual(read(cpio.finish()), [
    { name: 'usr', mode: 0o040755, data: '' },
    { name: 'usr/bin', mode: 0o040755, data: '' },
    { name: 'usr/bin/tool', mode: 0o100755, data: 'text' },
    { name: 'bin', mode: 0o120777, data: 'usr/bin' },
    { name: 'dev', mode: 0o040755, data: '' },
    { name: 'dev/console', mode: 0o020600, data: '' },
    { name: 'TRAILER!!!', mode: 0, data: '' },
  ]);
});

test('the first of two files with one path stays', (t) => {
  const cpio = new Cpio();
  cpio.file('/a', 'first');
  cpio.file('/a', 'second');
  t.deepEqual(
    read(cpio.finish()).map(({ data }) => data),
    ['first', ''],
  );
});
